// Command sample-app is the application that the sandbox's demo, tests and benchmarks release.
// Its behaviour is set by environment variables, so that two versions of it are one image, and by requests to the probe port.
package main

import (
	"fmt"
	"log"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) > 1 {
		if err := command(os.Args[1:]); err != nil {
			log.Print(err)
			os.Exit(2)
		}
		return
	}
	runtime.GOMAXPROCS(1) // hundreds of these share two cores
	s, err := readSettings()
	if err != nil {
		log.Fatal(err)
	}
	if err := run(s); err != nil {
		log.Fatal(err)
	}
}

// command gives an image without a shell something to run in a preStop exec hook.
func command(args []string) error {
	if len(args) != 2 || args[0] != "sleep" {
		return fmt.Errorf("usage: sample-app [sleep DURATION]")
	}
	d, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	time.Sleep(d)
	return nil
}

func run(s settings) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	if s.crashAfter > 0 {
		time.AfterFunc(s.crashAfter, func() { log.Fatalf("crashing after %v", s.crashAfter) })
	}
	a, err := newApp(s)
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	a.serve(a.probes(), s.probePort, failed)
	a.serve(a.metrics(), s.metricsPort, failed)
	started := time.After(s.startupDelay)
	for {
		select {
		case <-started:
			// The port opens only now: a client that comes too early is refused, as by a real slow starter.
			a.serve(a.traffic(), s.httpPort, failed)
			a.started.Store(true)
			log.Printf("version %s serves on port %s", s.version, s.httpPort)
			started = nil
		case <-stop:
			return a.shutdown()
		case err := <-failed:
			return err
		}
	}
}
