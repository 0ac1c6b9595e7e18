package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

const shutdownLimit = 10 * time.Second

type app struct {
	settings
	body     []byte // the answer of /, the same every time
	env      []byte // the answer of /config
	started  atomic.Bool
	stopping atomic.Bool
	ready    atomic.Bool // what READY and POST /ready/on|off say
	faults   faults
	counted  counts
	servers  []*http.Server
}

func newApp(s settings) (*app, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	a := &app{settings: s}
	a.ready.Store(s.ready)
	a.faults.setErrorRate(s.errorRate)
	a.faults.setLatency(s.latency)
	hostText, err := json.Marshal(host)
	if err != nil {
		return nil, err
	}
	versionText, err := json.Marshal(s.version)
	if err != nil {
		return nil, err
	}
	a.body = fmt.Appendf(nil, "{\"host\": %s, \"version\": %s}\n", hostText, versionText)
	if a.env, err = json.Marshal(s.config); err != nil {
		return nil, err
	}
	a.env = append(a.env, '\n')
	return a, nil
}

func (a *app) serve(handler http.Handler, port string, failed chan<- error) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	a.servers = append(a.servers, server)
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		failed <- err
		return
	}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
}

func (a *app) isReady() bool {
	return a.started.Load() && a.ready.Load() && !a.stopping.Load()
}

// traffic is what the application is for.
func (a *app) traffic() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		a.faults.delay(r.Context())
		failed := a.faults.strikes()
		w.Header().Set("Content-Type", "application/json")
		if failed {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = w.Write(a.body) // also of a failure: who failed is what one wants to know
		a.counted.add(failed, time.Since(began))
	})
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(a.env)
	})
	return mux
}

func (a *app) probes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) { answer(w, true) })
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.isReady()) })
	mux.HandleFunc("POST /ready/on", func(w http.ResponseWriter, _ *http.Request) { a.ready.Store(true); answer(w, true) })
	mux.HandleFunc("POST /ready/off", func(w http.ResponseWriter, _ *http.Request) { a.ready.Store(false); answer(w, true) })
	mux.HandleFunc("POST /errors/{rate}", func(w http.ResponseWriter, r *http.Request) {
		rate, err := parseShare(r.PathValue("rate"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a.faults.setErrorRate(rate)
		answer(w, true)
	})
	mux.HandleFunc("POST /latency/{duration}", func(w http.ResponseWriter, r *http.Request) {
		latency, err := parseLatency(r.PathValue("duration"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a.faults.setLatency(latency)
		answer(w, true)
	})
	return mux
}

func answer(w http.ResponseWriter, ok bool) {
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("no\n"))
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

func (a *app) metrics() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		a.counted.write(w, a.version)
	})
	return mux
}

// shutdown first says that it is not ready, goes on answering for as long as it was told, then drains.
func (a *app) shutdown() error {
	a.stopping.Store(true)
	log.Printf("stopping after %v", a.shutdownDelay)
	time.Sleep(a.shutdownDelay)
	ctx, cancel := context.WithTimeout(context.Background(), shutdownLimit)
	defer cancel()
	var errs []error
	for i := len(a.servers) - 1; i >= 0; i-- { // traffic first, so that probes and metrics answer to the end
		errs = append(errs, a.servers[i].Shutdown(ctx))
	}
	return errors.Join(errs...)
}
