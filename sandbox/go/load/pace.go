package main

import (
	"context"
	"sync"
	"time"
)

// pace hands out start times at a fixed rate to all workers. Time that was missed is not made up for:
// after a stall there is no burst, so the rate is never exceeded.
type pace struct {
	mu   sync.Mutex
	gap  time.Duration // 0: no limit
	next time.Time
}

func newPace(rate float64) *pace {
	p := &pace{}
	if rate > 0 {
		p.gap = time.Duration(float64(time.Second) / rate)
	}
	return p
}

// wait returns when the caller may send its next request, or false when it shall end.
func (p *pace) wait(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	if p.gap == 0 {
		return true
	}
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	at := p.next
	p.next = at.Add(p.gap)
	p.mu.Unlock()
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(at)):
		return true
	}
}
