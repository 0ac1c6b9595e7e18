package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// settings is everything the environment can change.
type settings struct {
	version       string
	startupDelay  time.Duration
	shutdownDelay time.Duration
	crashAfter    time.Duration // 0: never
	ready         bool
	errorRate     float64       // see parseShare
	latency       time.Duration // how long an answer on / takes
	httpPort      string
	probePort     string
	metricsPort   string
	config        map[string]string
}

func readSettings() (settings, error) {
	s := settings{
		version:     text("VERSION", "unknown"),
		httpPort:    text("HTTP_PORT", "8080"),
		probePort:   text("PROBE_PORT", "8086"),
		metricsPort: text("METRICS_PORT", "9101"),
		config:      map[string]string{},
	}
	var err error
	if s.startupDelay, err = time.ParseDuration(text("STARTUP_DELAY", "0s")); err != nil {
		return s, fmt.Errorf("STARTUP_DELAY: %w", err)
	}
	if s.shutdownDelay, err = time.ParseDuration(text("SHUTDOWN_DELAY", "0s")); err != nil {
		return s, fmt.Errorf("SHUTDOWN_DELAY: %w", err)
	}
	if s.crashAfter, err = time.ParseDuration(text("CRASH_AFTER", "0s")); err != nil {
		return s, fmt.Errorf("CRASH_AFTER: %w", err)
	}
	if s.ready, err = strconv.ParseBool(text("READY", "true")); err != nil {
		return s, fmt.Errorf("READY: %w", err)
	}
	if s.errorRate, err = parseShare(text("ERROR_RATE", "0")); err != nil {
		return s, fmt.Errorf("ERROR_RATE: %w", err)
	}
	if s.latency, err = parseLatency(text("LATENCY", "0s")); err != nil {
		return s, fmt.Errorf("LATENCY: %w", err)
	}
	for _, pair := range os.Environ() {
		if key, value, _ := strings.Cut(pair, "="); strings.HasPrefix(key, "CFG_") {
			s.config[key] = value
		}
	}
	return s, nil
}

// parseShare reads a part of a whole, from 0 to 1.
func parseShare(text string) (float64, error) {
	share, err := strconv.ParseFloat(text, 64)
	if err == nil && !(share >= 0 && share <= 1) { // NaN is neither
		err = fmt.Errorf("%v is not between 0 and 1", share)
	}
	return share, err
}

// parseLatency reads a duration. None is longer than a client would ever wait.
func parseLatency(text string) (time.Duration, error) {
	latency, err := time.ParseDuration(text)
	if err == nil && (latency < 0 || latency > time.Minute) {
		err = fmt.Errorf("%v is not between 0 and %v", latency, time.Minute)
	}
	return latency, err
}

// text treats an empty variable like a missing one, as templates often leave values empty.
func text(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}
