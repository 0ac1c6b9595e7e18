package main

import (
	"context"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// faults is what is wrong with the answers on / at present. A tester changes it while requests come in.
type faults struct {
	errorRate atomic.Uint64 // a float64's bits
	latency   atomic.Int64  // nanoseconds
}

func (f *faults) setErrorRate(share float64)       { f.errorRate.Store(math.Float64bits(share)) }
func (f *faults) setLatency(latency time.Duration) { f.latency.Store(int64(latency)) }

// strikes says whether this request is one of those that fail.
func (f *faults) strikes() bool {
	rate := math.Float64frombits(f.errorRate.Load())
	return rate > 0 && rand.Float64() < rate // Float64 is below 1, so a rate of 1 is all of them
}

// delay lasts as long as an answer is to take, or until nobody waits for it any more.
func (f *faults) delay(ctx context.Context) {
	latency := time.Duration(f.latency.Load())
	if latency == 0 {
		return
	}
	timer := time.NewTimer(latency)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
