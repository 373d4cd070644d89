package store

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"

	"fedlab/gateway/im"
	"fedlab/gateway/presence"
)

func record(n int, watch, feed presence.Auth) Record {
	return Record{
		XMPP: im.Address{Local: fmt.Sprintf("bob%d", n), Domain: "gmail.com"}, SIP: im.Address{Local: "alice", Domain: "contoso.com"},
		Watch: watch, Feed: feed,
	}
}

func all(t testing.TB, s Store) map[string]Record {
	t.Helper()
	got := make(map[string]Record)
	if err := s.All(func(r Record) bool {
		if _, twice := got[r.XMPP.String()+" "+r.SIP.String()]; twice {
			t.Errorf("twice: %+v", r)
		}
		got[r.XMPP.String()+" "+r.SIP.String()] = r
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func put(t testing.TB, s Store, r Record) {
	t.Helper()
	kept := make(chan error, 1)
	s.Put(r, func(err error) { kept <- err })
	if err := <-kept; err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, path string) Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What both stores promise.
func TestStores(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fedgate.db")
	for name, s := range map[string]Store{"memory": Memory(), "file": open(t, path)} {
		put(t, s, record(1, presence.Granted, presence.None))
		put(t, s, record(2, presence.Asked, presence.Granted))
		put(t, s, record(2, presence.Granted, presence.Granted))
		put(t, s, record(3, presence.Granted, presence.None))
		put(t, s, record(3, presence.None, presence.None))
		full := record(1, presence.Granted, presence.Asked)
		full.XMPP.Resource = "home"
		put(t, s, full)
		s.Put(record(4, presence.Granted, presence.None), nil)
		got := all(t, s)
		if len(got) != 3 || got["bob1@gmail.com alice@contoso.com"].Feed != presence.Asked || got["bob2@gmail.com alice@contoso.com"].Watch != presence.Granted {
			t.Errorf("%s: %+v", name, got)
		}
		n := 0
		if err := s.All(func(Record) bool { n++; return false }); err != nil || n != 1 {
			t.Errorf("%s: All went on to %d, %v", name, n, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s.Put(record(5, presence.Granted, presence.None), func(err error) {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s: Put after Close: %v", name, err)
			}
		})
		if err := s.All(func(Record) bool { return true }); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: All after Close: %v", name, err)
		}
	}
	s := open(t, path) // Close kept what was put without a word
	defer s.Close()
	if got := all(t, s); len(got) != 3 {
		t.Errorf("after a restart: %+v", got)
	}
}

// Many writers at a time, the last record of a pair wins, and every one of them is told.
func TestManyWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fedgate.db")
	s := open(t, path)
	var told sync.WaitGroup
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for n := range 500 {
				for _, a := range []presence.Auth{presence.Asked, presence.None, presence.Granted} {
					told.Add(1)
					s.Put(record(w*1000+n, a, presence.Asked), func(err error) {
						if err != nil {
							t.Error(err)
						}
						told.Done()
					})
				}
			}
		})
	}
	writers.Wait()
	told.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	defer s.Close()
	got := all(t, s)
	for k, r := range got {
		if r.Watch != presence.Granted {
			t.Fatalf("%s: %+v", k, r)
		}
	}
	if len(got) != 4000 {
		t.Errorf("%d records", len(got))
	}
}

// A process that is killed in the middle of writing loses nothing that it was told is kept, and leaves a file that opens.
func TestKill(t *testing.T) {
	const variable = "FEDGATE_STORE_TEST_FILE"
	if path := os.Getenv(variable); path != "" {
		writeUntilKilled(path)
		return
	}
	path := filepath.Join(t.TempDir(), "fedgate.db")
	kept := 0
	for round := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), variable+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		first, last := -1, -1
		for n := 0; lines.Scan(); n++ {
			if _, err := fmt.Sscanf(lines.Text(), "kept %d", &last); err != nil {
				t.Fatalf("%q", lines.Text())
			}
			if first < 0 {
				first = last
			}
			if n == 700+round*311 { // in the middle of something
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
		if first != kept {
			t.Fatalf("round %d: it found %d records, and %d were kept", round, first, kept)
		}
		s := open(t, path)
		got := all(t, s)
		if len(got) <= last {
			t.Fatalf("round %d: %d was kept, and %d are there", round, last, len(got))
		}
		for n := range last + 1 {
			if r, ok := got[fmt.Sprintf("bob%d@gmail.com alice@contoso.com", n)]; !ok || r.Watch != presence.Granted {
				t.Fatalf("round %d: %d was kept and is %+v", round, n, r)
			}
		}
		kept = len(got)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d records survived four kills", kept)
}

// writeUntilKilled puts records and prints each one that is kept, in order.
func writeUntilKilled(path string) {
	s, err := Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	n := 0
	if err := s.All(func(Record) bool { n++; return true }); err != nil {
		fmt.Println(err)
		return
	}
	type result struct {
		n   int
		err error
	}
	results := make(chan result, 64)
	go func() {
		for ; ; n++ {
			kept := make(chan error, 1)
			s.Put(record(n, presence.Granted, presence.Asked), func(err error) { kept <- err })
			results <- result{n, <-kept}
		}
	}()
	for r := range results {
		if r.err != nil {
			fmt.Println(r.err)
			return
		}
		fmt.Println("kept", r.n)
	}
}

// size is how many bytes of a database its own pages need.
func size(t *testing.T, path string) (bytes int64) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bolt.Tx) error { bytes = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	return bytes
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.db")
	s := open(t, good)
	for n := range 2000 {
		s.Put(record(n, presence.Granted, presence.Asked), nil)
	}
	if _, err := Open(good); !errors.Is(err, ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if _, err := Open(write("text.db", []byte("this is no database at all, but a text that somebody put there by mistake"))); !errors.Is(err, ErrDamaged) {
		t.Errorf("a text: %v", err)
	}
	counted := size(t, good) // the file itself may be longer: bbolt grows it ahead of need
	for _, kept := range []int64{counted / 2, counted - 1} {
		if _, err := Open(write("cut.db", whole[:kept])); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes of %d: %v", kept, counted, err)
		}
	}
	again, err := Open(write("exact.db", whole[:counted]))
	if err != nil {
		t.Fatalf("all that is counted, and nothing after it: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(dir, "none", "x.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	newer := write("newer.db", whole)
	db, err := bolt.Open(newer, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketFormat).Put(keyVersion, []byte{version + 1}) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(newer); !errors.Is(err, ErrNewer) {
		t.Errorf("a later version: %v", err)
	}

	// One byte of a person's record, wherever it stands.
	at := -1
	for i := range whole {
		if string(whole[i:min(i+7, len(whole))]) == "bob1234" {
			at = i
		}
	}
	if at < 0 {
		t.Fatal("no record in the file")
	}
	bad := append([]byte(nil), whole...)
	bad[at] = 'x'
	if _, err := Open(write("byte.db", bad)); !errors.Is(err, ErrDamaged) {
		t.Errorf("one wrong byte: %v", err)
	}
	if s, err := Open(write("copy.db", whole)); err != nil {
		t.Errorf("the same bytes elsewhere: %v", err)
	} else if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A write that fails leaves what was there, and says so.
func TestWriteFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fedgate.db")
	s := open(t, path)
	put(t, s, record(1, presence.Granted, presence.None))
	f := s.(*file)
	if err := f.db.Close(); err != nil { // what a disk that is gone looks like from here
		t.Fatal(err)
	}
	kept := make(chan error, 1)
	s.Put(record(2, presence.Granted, presence.None), func(err error) { kept <- err })
	if err := <-kept; err == nil {
		t.Error("kept, although nothing can be written")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = open(t, path)
	defer s.Close()
	if got := all(t, s); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

func BenchmarkPut(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "fedgate.db"))
	defer s.Close()
	b.ReportAllocs()
	var told sync.WaitGroup
	for n := 0; b.Loop(); n++ {
		told.Add(1)
		s.Put(record(n, presence.Granted, presence.Asked), func(error) { told.Done() })
	}
	told.Wait()
}
