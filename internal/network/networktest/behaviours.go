package networktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"fedlab/internal/network"
)

// Behaviour is one thing that sockets do. What is true of it is not written down here: Run finds out, as text, so that the
// virtual network can be compared with the operating system.
type Behaviour struct {
	Name string
	Run  func(s *Stage)
}

// Stage is where a behaviour is tried: one machine that talks to itself. What happens is written into its record.
type Stage struct {
	Network network.PacketNetwork
	Settle  func() // waits until everything under way has arrived

	record []string
	close  []io.Closer
}

// Try runs b and returns what happened.
func (s *Stage) Try(b Behaviour) string {
	defer func() {
		for _, c := range s.close {
			c.Close()
		}
	}()
	b.Run(s)
	return strings.Join(s.record, "; ")
}

func (s *Stage) note(format string, args ...any) {
	s.record = append(s.record, fmt.Sprintf(format, args...))
}

// word is the name of an error, as programs tell them apart.
func word(err error) string {
	for name, e := range map[string]error{"EOF": io.EOF, "closed": net.ErrClosed, "deadline": os.ErrDeadlineExceeded,
		"refused": syscall.ECONNREFUSED, "reset": syscall.ECONNRESET, "broken pipe": syscall.EPIPE, "in use": syscall.EADDRINUSE,
		"too long": syscall.EMSGSIZE, "not connected": syscall.ENOTCONN} {
		if errors.Is(err, e) {
			return name
		}
	}
	if err == nil {
		return "ok"
	}
	return err.Error()
}

// end is one end of a connection whose operations go into the record.
type end struct {
	*Stage
	name string
	net.Conn
}

func (e end) read(n int) {
	e.SetReadDeadline(time.Now().Add(2 * time.Second))
	buf := make([]byte, n)
	k, err := e.Read(buf)
	e.note("%s reads %q %s", e.name, buf[:k], word(err))
}

func (e end) write(text string) {
	k, err := e.Write([]byte(text))
	e.note("%s writes %d %s", e.name, k, word(err))
}

func (e end) shut() { e.note("%s closes %s", e.name, word(e.Close())) }

func (e end) shutWrite() {
	e.note("%s closes writing %s", e.name, word(e.Conn.(interface{ CloseWrite() error }).CloseWrite()))
}

func (e end) shutRead() {
	e.note("%s closes reading %s", e.name, word(e.Conn.(interface{ CloseRead() error }).CloseRead()))
}

func (e end) abort() {
	e.Conn.(interface{ SetLinger(int) error }).SetLinger(0)
	e.shut()
}

// state notes what netstat shows for the connection from this end.
func (e end) state() {
	e.Settle()
	sockets, err := e.Network.(network.SocketLister).Sockets()
	if err != nil {
		e.note("%v", err)
	}
	local, remote := e.LocalAddr().(*net.TCPAddr).AddrPort(), e.RemoteAddr().(*net.TCPAddr).AddrPort()
	state := "gone"
	for _, s := range sockets {
		if unmap(s.Local) == unmap(local) && unmap(s.Remote) == unmap(remote) {
			state = s.State
		}
	}
	e.note("%s is %s", e.name, state)
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

func (s *Stage) listen() net.Listener {
	l, err := s.Network.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s.close = append(s.close, l)
	return l
}

func (s *Stage) dial(l net.Listener) end {
	c, err := s.Network.DialContext(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		panic(err)
	}
	s.close = append(s.close, c)
	return end{s, "client", c}
}

func (s *Stage) accept(l net.Listener) end {
	c, err := l.Accept()
	if err != nil {
		panic(err)
	}
	s.close = append(s.close, c)
	return end{s, "server", c}
}

func (s *Stage) pair() (client, server end) {
	l := s.listen()
	client = s.dial(l)
	return client, s.accept(l)
}

// Behaviours is what is compared.
var Behaviours = []Behaviour{
	{"connecting to a closed port", func(s *Stage) {
		l := s.listen()
		l.Close()
		_, err := s.Network.DialContext(context.Background(), "tcp", l.Addr().String())
		s.note("client dials %s", word(err))
	}},
	{"orderly close", func(s *Stage) {
		c, sv := s.pair()
		c.write("bye")
		c.shut()
		sv.read(10)
		sv.read(10)
		sv.read(10)
		sv.shut()
	}},
	{"states of an orderly close", func(s *Stage) {
		c, sv := s.pair()
		c.state()
		sv.state()
		c.shut()
		c.state()
		sv.state()
		sv.shut()
		c.state()
		sv.state()
	}},
	{"states of a half close", func(s *Stage) {
		c, sv := s.pair()
		sv.shutWrite()
		c.state()
		sv.state()
		c.write("late")
		sv.Settle()
		sv.read(10)
		c.shutWrite()
		c.state()
		sv.state()
	}},
	{"half close and answer", func(s *Stage) {
		c, sv := s.pair()
		c.write("question")
		c.shutWrite()
		sv.read(10)
		sv.read(10)
		sv.write("answer")
		sv.shut()
		c.read(10)
		c.read(10)
	}},
	{"writing after closing writing", func(s *Stage) {
		c, _ := s.pair()
		c.shutWrite()
		c.write("x")
		c.shutWrite()
	}},
	{"closing reading", func(s *Stage) {
		c, sv := s.pair()
		c.shutRead()
		c.read(1)
		sv.write("x")
		s.Settle()
		sv.write("y")
		c.write("z")
		sv.read(1)
	}},
	{"closing with unread data", func(s *Stage) {
		c, sv := s.pair()
		c.write("never read")
		s.Settle()
		sv.shut()
		s.Settle()
		c.read(1)
		c.read(1)
		c.write("x")
		c.state()
	}},
	{"closing with linger 0", func(s *Stage) {
		c, sv := s.pair()
		sv.abort()
		s.Settle()
		c.read(1)
		c.read(1)
		c.write("x")
	}},
	{"a reset that finds the writer first", func(s *Stage) {
		c, sv := s.pair()
		sv.abort()
		s.Settle()
		c.write("x")
		c.write("x")
		c.read(1)
	}},
	{"data before a reset", func(s *Stage) {
		c, sv := s.pair()
		sv.write("last words")
		s.Settle()
		sv.abort()
		s.Settle()
		c.read(4)
		c.read(10)
		c.read(10)
		c.read(10)
	}},
	{"writing to someone who has closed", func(s *Stage) {
		c, sv := s.pair()
		sv.shut()
		s.Settle()
		c.write("one")
		s.Settle()
		c.write("two")
		c.write("three")
		c.read(1)
		c.state()
	}},
	{"writing to someone who has closed, after noticing", func(s *Stage) {
		c, sv := s.pair()
		sv.shut()
		s.Settle()
		c.read(1)
		c.write("one")
		s.Settle()
		c.read(1)
		c.write("two")
	}},
	{"data after close resets", func(s *Stage) {
		c, sv := s.pair()
		sv.shut()
		s.Settle()
		c.write("x")
		s.Settle()
		sv.state()
		c.state()
	}},
	{"reset while reading", func(s *Stage) {
		c, sv := s.pair()
		time.AfterFunc(20*time.Millisecond, func() { sv.Conn.(interface{ SetLinger(int) error }).SetLinger(0); sv.Close() })
		c.read(1)
	}},
	{"reset while writing", func(s *Stage) {
		c, sv := s.pair()
		time.AfterFunc(50*time.Millisecond, func() { sv.Close() }) // with unread data
		c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, err := c.Write(make([]byte, 64<<20))
		s.note("client writes much, %s", word(err))
		_, err = c.Write([]byte("x"))
		s.note("client writes, %s", word(err))
	}},
	{"close while reading", func(s *Stage) {
		c, _ := s.pair()
		time.AfterFunc(20*time.Millisecond, func() { c.Close() })
		c.read(1)
	}},
	{"deadline while reading", func(s *Stage) {
		c, sv := s.pair()
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, err := c.Conn.Read(make([]byte, 1))
		s.note("client reads %s", word(err))
		sv.write("x")
		c.read(1)
	}},
	{"deadline in the past with data waiting", func(s *Stage) {
		c, sv := s.pair()
		sv.write("x")
		s.Settle()
		c.SetReadDeadline(time.Unix(1, 0))
		_, err := c.Conn.Read(make([]byte, 1))
		s.note("client reads %s", word(err))
		c.read(1)
	}},
	{"empty reads and writes", func(s *Stage) {
		c, sv := s.pair()
		c.write("")
		c.read(0)
		sv.shut()
		s.Settle()
		c.read(0)
		c.read(1)
		c.read(0)
	}},
	{"closing twice", func(s *Stage) {
		c, _ := s.pair()
		c.shut()
		c.shut()
		c.shutWrite()
		c.read(1)
		c.write("x")
	}},
	{"listener closes before accepting", func(s *Stage) {
		l := s.listen()
		c := s.dial(l)
		s.Settle()
		l.Close()
		s.Settle()
		c.read(1)
		c.write("x")
	}},
	{"accepting after the client's close", func(s *Stage) {
		l := s.listen()
		c := s.dial(l)
		c.write("quick")
		c.shut()
		s.Settle()
		sv := s.accept(l)
		sv.state()
		sv.read(10)
		sv.read(10)
		sv.write("x")
	}},
	{"accepting after the client's reset", func(s *Stage) {
		l := s.listen()
		c := s.dial(l)
		c.write("quick")
		s.Settle()
		c.abort()
		s.Settle()
		sv := s.accept(l)
		sv.read(10)
		sv.read(10)
		sv.read(10)
	}},
	{"listening again beside old connections", func(s *Stage) {
		l := s.listen()
		c := s.dial(l)
		sv := s.accept(l)
		_, err := s.Network.Listen(context.Background(), "tcp", l.Addr().String())
		s.note("listening twice %s", word(err))
		sv.shut()
		c.shut()
		l.Close()
		again, err := s.Network.Listen(context.Background(), "tcp", l.Addr().String())
		s.note("listening again %s", word(err))
		if err == nil {
			again.Close()
		}
	}},
	{"both close writing", func(s *Stage) {
		c, sv := s.pair()
		c.write("a")
		sv.write("b")
		c.shutWrite()
		s.Settle() // on one machine closing is never quite simultaneous
		sv.shutWrite()
		c.read(10)
		c.read(10)
		sv.read(10)
		sv.read(10)
		sv.state()
		c.state()
		c.shut()
		sv.shut()
	}},
	{"a datagram to nobody", func(s *Stage) {
		c, err := s.Network.DialContext(context.Background(), "udp", "127.0.0.1:9")
		if err != nil {
			panic(err)
		}
		s.close = append(s.close, c)
		u := end{s, "client", c}
		u.write("one")
		s.Settle()
		u.write("two")
		u.write("three")
		s.Settle()
		u.read(1)
	}},
	{"datagrams keep their borders", func(s *Stage) {
		pc, err := s.Network.ListenPacket(context.Background(), "udp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		c, err := s.Network.DialContext(context.Background(), "udp", pc.LocalAddr().String())
		if err != nil {
			panic(err)
		}
		s.close = append(s.close, c, pc)
		u := end{s, "client", c}
		u.write("longer")
		u.write("")
		u.write("end")
		buf := make([]byte, 4)
		for range 3 {
			k, _, err := pc.ReadFrom(buf)
			s.note("server reads %q %s", buf[:k], word(err))
		}
		k, err := c.Write(make([]byte, 65508))
		s.note("client writes %d %s", k, word(err))
	}},
}
