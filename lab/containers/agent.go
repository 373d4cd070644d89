package containers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/moby/moby/api/pkg/stdcopy"

	"fedlab/lab"
	"fedlab/sim/trace"
)

// agent is a machine's "fedlab serve machines", as its driver sees it.
type agent struct {
	name string
	own  []string // the topology's hosts that the machine is
	box  *made

	mu      sync.Mutex // guards what follows, and writing to the box
	last    int
	waiting map[int]chan lab.Answer
	gone    error         // why it says nothing more
	ended   chan struct{} // closed with gone
	errors  tail
}

// hear reads what the machine tells until it ends. Events go into r.
func (a *agent) hear(r *trace.Recorder) {
	pipe, w := io.Pipe()
	go func() {
		_, err := stdcopy.StdCopy(w, &a.errors, a.box.attach.Reader)
		w.CloseWithError(err)
	}()
	d := json.NewDecoder(bufio.NewReaderSize(pipe, 64<<10))
	for {
		var t lab.Told
		if err := d.Decode(&t); err != nil {
			pipe.CloseWithError(err)
			a.mu.Lock()
			a.gone = fmt.Errorf("machine %s has ended: %s", a.name, a.errors.String())
			close(a.ended)
			a.mu.Unlock()
			return
		}
		if t.Event != nil {
			r.Record(*t.Event)
		}
		if t.Answer != nil {
			a.mu.Lock()
			c := a.waiting[t.Answer.ID]
			delete(a.waiting, t.Answer.ID)
			a.mu.Unlock()
			if c != nil {
				c <- *t.Answer
			}
		}
	}
}

// order tells the machine to do something and waits until it is done.
func (a *agent) order(ctx context.Context, o lab.Order) (lab.Answer, error) {
	c := make(chan lab.Answer, 1)
	a.mu.Lock()
	a.last++
	o.ID = a.last
	a.waiting[o.ID] = c
	line, err := json.Marshal(o)
	if err == nil {
		_, err = a.box.attach.Conn.Write(append(line, '\n'))
	}
	a.mu.Unlock()
	if err != nil {
		return lab.Answer{}, fmt.Errorf("machine %s cannot be told anything: %w", a.name, err)
	}
	failed := func(a lab.Answer) error {
		if a.Error != "" {
			return errors.New(a.Error)
		}
		return nil
	}
	select {
	case answer := <-c:
		return answer, failed(answer)
	case <-a.ended:
		select {
		case answer := <-c: // its last one
			return answer, failed(answer)
		default:
			return lab.Answer{}, a.gone
		}
	case <-ctx.Done():
		return lab.Answer{}, ctx.Err()
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}
