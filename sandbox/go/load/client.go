package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// ipBindAddressNoPort is Linux's IP_BIND_ADDRESS_NO_PORT: choose the port at connect, when the destination is known,
// so that one source address has all its ports for each destination.
const ipBindAddressNoPort = 24

type result struct {
	start, end          time.Time
	status              int
	version, host, fail string
}

func (r result) line() string {
	return fmt.Sprintf("%d %d %d %s %s %s\n", r.start.UnixNano(), r.end.UnixNano(), r.status,
		word(r.version), word(r.host), word(r.fail))
}

// word keeps a line's fields countable: no blanks inside one, and never an empty one.
func word(text string) string {
	if text = strings.Join(strings.Fields(text), "_"); text == "" {
		return "-"
	}
	return text
}

// client belongs to one worker, so that kept connections are as many as workers.
type client struct {
	options
	http http.Client
	turn int
}

func newClient(o options, worker int) *client {
	c := &client{options: o, turn: worker}
	c.http = http.Client{
		Timeout: o.timeout,
		Transport: &http.Transport{
			DialContext:        c.dial,
			DisableKeepAlives:  !o.keepAlive,
			DisableCompression: true,
			Proxy:              nil, // the addresses exist in this network namespace only
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

func (c *client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Control: bindLate}
	if len(c.sources) > 0 {
		d.LocalAddr = &net.TCPAddr{IP: c.sources[c.turn%len(c.sources)]}
		c.turn++
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok && !c.keepAlive {
		// The answer has been read when this is closed. A reset leaves no TIME_WAIT on either side, and it is a port
		// reused against such a leftover that makes a connection wait one second for a second SYN.
		_ = tcp.SetLinger(0)
	}
	return conn, nil
}

func bindLate(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, ipBindAddressNoPort, 1)
	})
	if err != nil {
		return err
	}
	return failed
}

func (c *client) get() (r result) {
	r.start = time.Now()
	defer func() { r.end = time.Now() }()
	response, err := c.http.Get(c.url)
	if err != nil {
		r.fail = reason(err)
		return r
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
	if err != nil {
		r.fail = reason(err)
		return r
	}
	r.status = response.StatusCode
	var answer struct{ Host, Version string }
	if json.Unmarshal(body, &answer) == nil {
		r.host, r.version = answer.Host, answer.Version
	}
	return r
}

// reason leaves out the URL, which is the same on each line.
func reason(err error) string {
	text := err.Error()
	if _, after, found := strings.Cut(text, "\": "); found {
		return after
	}
	return text
}
