package main

import (
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// bounds are the histogram's, in seconds: the usual ones, and one below, as an idle sandbox answers that fast.
var bounds = [...]float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// counts is what became of the requests on /. One lock for all of it: count, sum and buckets always fit together.
type counts struct {
	lock     sync.Mutex
	answered int64
	failed   int64
	buckets  [len(bounds) + 1]int64 // the last is for what is longer than any bound
	seconds  float64
}

func (c *counts) add(failed bool, took time.Duration) {
	seconds, bucket := took.Seconds(), 0
	for bucket < len(bounds) && seconds > bounds[bucket] {
		bucket++
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	if failed {
		c.failed++
	} else {
		c.answered++
	}
	c.buckets[bucket]++
	c.seconds += seconds
}

// read is a copy, so that nobody who is slow to read holds up the requests.
func (c *counts) read() (answered, failed int64, buckets [len(bounds) + 1]int64, seconds float64) {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.answered, c.failed, c.buckets, c.seconds
}

// write prints them in Prometheus' text format. Both codes are there from the start, at 0: a series that appears only
// with the first error has no value before it, and what it began with is in no rate.
func (c *counts) write(w io.Writer, version string) {
	answered, failed, buckets, seconds := c.read()
	fmt.Fprintln(w, "# HELP http_requests_total Requests answered on /, by version and status code.")
	fmt.Fprintln(w, "# TYPE http_requests_total counter")
	fmt.Fprintf(w, "http_requests_total{version=%q,code=\"200\"} %d\n", version, answered)
	fmt.Fprintf(w, "http_requests_total{version=%q,code=\"500\"} %d\n", version, failed)
	fmt.Fprintln(w, "# HELP http_request_duration_seconds How long the answers on / took.")
	fmt.Fprintln(w, "# TYPE http_request_duration_seconds histogram")
	var below int64
	for i, bound := range bounds {
		below += buckets[i]
		le := strconv.FormatFloat(bound, 'g', -1, 64)
		fmt.Fprintf(w, "http_request_duration_seconds_bucket{version=%q,le=%q} %d\n", version, le, below)
	}
	all := answered + failed
	fmt.Fprintf(w, "http_request_duration_seconds_bucket{version=%q,le=\"+Inf\"} %d\n", version, all)
	fmt.Fprintf(w, "http_request_duration_seconds_sum{version=%q} %g\n", version, seconds)
	fmt.Fprintf(w, "http_request_duration_seconds_count{version=%q} %d\n", version, all)
}
