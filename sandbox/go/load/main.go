// Command load sends GET requests to one address from a fixed number of workers and prints one line per request:
//
//	<start unix ns> <end unix ns> <http status or 0> <version or -> <host or -> <error or ->
//
// Each worker waits for its answer before it asks again (a closed loop), so that a slow server is never flooded.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

const flushEvery = 10 * time.Millisecond

type options struct {
	url       string
	workers   int
	rate      float64
	duration  time.Duration
	timeout   time.Duration
	keepAlive bool
	sources   []net.IP
}

func main() {
	o, err := parse()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	// No signal and no end of the duration cuts a request short: workers look at ctx only between requests.
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, o.duration)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func parse() (options, error) {
	var o options
	var sources string
	flag.StringVar(&o.url, "url", "", "the address to ask")
	flag.IntVar(&o.workers, "workers", 8, "how many ask at the same time")
	flag.Float64Var(&o.rate, "rate", 300, "requests per second of all workers together; 0: no limit")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "when to stop")
	flag.DurationVar(&o.timeout, "timeout", 2*time.Second, "when a request has failed")
	flag.BoolVar(&o.keepAlive, "keepalive", false, "reuse connections (default: one for each request)")
	flag.StringVar(&sources, "sources", "", "source addresses to take in turn, separated by commas")
	flag.Parse()
	for _, text := range strings.FieldsFunc(sources, func(r rune) bool { return r == ',' }) {
		ip := net.ParseIP(text)
		if ip == nil {
			return o, fmt.Errorf("-sources: %q is no address", text)
		}
		o.sources = append(o.sources, ip)
	}
	switch {
	case o.url == "" || flag.NArg() > 0:
		return o, errors.New("-url is needed, and nothing but options")
	case o.workers < 1 || o.rate < 0 || o.duration <= 0 || o.timeout <= 0:
		return o, errors.New("-workers, -duration and -timeout must be above zero, -rate not below")
	}
	return o, nil
}

func run(ctx context.Context, o options) error {
	lines := make(chan result, 4096)
	var workers sync.WaitGroup
	pace := newPace(o.rate)
	for i := range o.workers {
		workers.Add(1)
		go func() {
			defer workers.Done()
			c := newClient(o, i)
			for pace.wait(ctx) {
				lines <- c.get()
			}
		}()
	}
	go func() { workers.Wait(); close(lines) }()
	return write(lines)
}

// write prints results as they come and flushes often, so that a reader of the pipe can follow a switch.
func write(lines <-chan result) error {
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case r, more := <-lines:
			if !more {
				return out.Flush()
			}
			if _, err := out.WriteString(r.line()); err != nil {
				return err
			}
		case <-tick.C:
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}
