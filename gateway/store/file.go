package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"fedlab/gateway/im"
	"fedlab/gateway/presence"
)

// The file is a bbolt database with two buckets: format, which holds the version, and pairs. A pair's key is its two addresses
// with a zero byte between every part; its value is the two authorisations and a CRC-32 over key and value, as bbolt itself
// checks only its own pages.
var (
	bucketFormat = []byte("format")
	bucketPairs  = []byte("pairs")
	keyVersion   = []byte("version")
)

const version = 1

// lockPatience is how long Open waits for another process to let go of the file: a restart may overlap a little.
const lockPatience = 2 * time.Second

// maxBatch bounds the records of one transaction, so that a stop is not held up by a long one.
const maxBatch = 10000

// file is a Store in a file. Records that wait for the disk are in waiting; one goroutine takes them from there.
type file struct {
	path string
	db   *bolt.DB

	mu      sync.Mutex
	waiting map[pair]*write
	closed  bool
	wake    chan struct{} // buffered: one token says that something waits or that the store closes
	ended   chan struct{} // the writer has ended
}

// write is a record on its way to the disk, and who wants to know.
type write struct {
	record Record
	done   []func(error)
}

// Open opens the store in a file, which is made if it is not there. The whole file is read once, so that damage is found now and
// not in the middle of work. The error wraps [ErrDamaged], [ErrInUse], [ErrNewer] or what the operating system said.
func Open(path string) (Store, error) {
	db, err := openFile(path)
	if err != nil {
		return nil, err
	}
	f := &file{path: path, db: db, waiting: make(map[pair]*write), wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go f.writer()
	return f, nil
}

func openFile(path string) (db *bolt.DB, err error) {
	defer func() { // bbolt panics on some damaged pages
		if p := recover(); p != nil {
			db, err = nil, damaged(path, fmt.Errorf("%v", p))
		}
	}()
	err = whole(path)
	var opened *bolt.DB
	if err == nil {
		opened, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: lockPatience, FreelistType: bolt.FreelistMapType})
	}
	var onDisk *fs.PathError
	switch {
	case err == nil:
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s; is another gateway running with the same configuration?", ErrInUse, path)
	case errors.As(err, &onDisk):
		return nil, fmt.Errorf("store: %w", err)
	default:
		return nil, damaged(path, err)
	}
	defer func() {
		if db == nil {
			_ = opened.Close()
		}
	}()
	if err := opened.Update(prepare); err != nil {
		if errors.Is(err, ErrNewer) {
			return nil, fmt.Errorf("%w: %s: run the newer gateway, or give the older one a file of its own", err, path)
		}
		return nil, damaged(path, err)
	}
	if err := check(opened); err != nil {
		return nil, damaged(path, err)
	}
	return opened, nil
}

func damaged(path string, err error) error {
	return fmt.Errorf("%w: %s: %v; restore it from a backup, or move it away: people will then be asked again whether they may be seen", ErrDamaged, path, err)
}

// whole says whether a file that is there has every page that it counts. bbolt opens such a file only to read its counts here: to
// write, it would touch pages at once, and one that is mapped and not in the file ends the process.
func whole(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil // to be made
	}
	if err != nil {
		return err
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockPatience, ReadOnly: true})
	if err != nil {
		return err
	}
	return errors.Join(db.View(func(tx *bolt.Tx) error {
		info, err := os.Stat(path) // again: another process may have had it until now
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("%d bytes of at least %d are there", info.Size(), tx.Size())
		}
		return nil
	}), db.Close())
}

func prepare(tx *bolt.Tx) error {
	format, err := tx.CreateBucketIfNotExists(bucketFormat)
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucketIfNotExists(bucketPairs); err != nil {
		return err
	}
	switch v := format.Get(keyVersion); {
	case v == nil:
		return format.Put(keyVersion, []byte{version})
	case len(v) != 1:
		return errors.New("no version in it")
	case v[0] > version:
		return ErrNewer
	}
	return nil
}

// check reads every page and every record.
func check(db *bolt.DB) error {
	return db.View(func(tx *bolt.Tx) error {
		var first error
		for err := range tx.Check() { // the channel has to be drained
			if first == nil {
				first = err
			}
		}
		if first != nil {
			return first
		}
		return tx.Bucket(bucketPairs).ForEach(func(k, v []byte) error {
			_, err := decode(k, v)
			return err
		})
	})
}

// Put implements Store.
func (f *file) Put(r Record, done func(error)) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		if done != nil {
			done(ErrClosed)
		}
		return
	}
	w := f.waiting[r.pair()]
	if w == nil {
		w = &write{}
		f.waiting[r.pair()] = w
	}
	w.record = r
	if done != nil {
		w.done = append(w.done, done)
	}
	f.mu.Unlock()
	f.signal()
}

func (f *file) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// writer puts to disk what waits, many records in one transaction: those that came while the last one was written.
func (f *file) writer() {
	defer close(f.ended)
	for {
		f.mu.Lock()
		batch, closed := f.take(), f.closed
		f.mu.Unlock()
		if len(batch) > 0 {
			err := f.write(batch)
			for _, w := range batch {
				for _, done := range w.done {
					done(err)
				}
			}
			continue
		}
		if closed {
			return
		}
		<-f.wake
	}
}

// take takes what waits, up to maxBatch; f.mu is held.
func (f *file) take() []*write {
	if len(f.waiting) == 0 {
		return nil
	}
	batch := make([]*write, 0, min(len(f.waiting), maxBatch))
	for p, w := range f.waiting {
		if len(batch) == maxBatch {
			break
		}
		batch = append(batch, w)
		delete(f.waiting, p)
	}
	return batch
}

func (f *file) write(batch []*write) error {
	err := f.db.Update(func(tx *bolt.Tx) error {
		pairs := tx.Bucket(bucketPairs)
		for _, w := range batch {
			key, value := encode(w.record)
			var err error
			if w.record.Empty() {
				err = pairs.Delete(key)
			} else {
				err = pairs.Put(key, value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: %d records could not be kept in %s, which is as it was before: %w", len(batch), f.path, err)
	}
	return nil
}

// All implements Store. Records that wait for the disk are given as they were put.
func (f *file) All(each func(Record) bool) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return ErrClosed
	}
	waiting := make(map[pair]Record, len(f.waiting))
	for p, w := range f.waiting {
		waiting[p] = w.record
	}
	f.mu.Unlock()
	enough := errors.New("enough")
	err := f.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketPairs).ForEach(func(k, v []byte) error {
			r, err := decode(k, v)
			if err != nil {
				return damaged(f.path, err)
			}
			if newer, ok := waiting[r.pair()]; ok {
				delete(waiting, r.pair())
				r = newer
			}
			if !r.Empty() && !each(r) {
				return enough
			}
			return nil
		})
	})
	if err != nil {
		if errors.Is(err, enough) {
			return nil
		}
		return err
	}
	for _, r := range waiting {
		if !r.Empty() && !each(r) {
			break
		}
	}
	return nil
}

// Close implements Store.
func (f *file) Close() error {
	f.mu.Lock()
	before := f.closed
	f.closed = true
	f.mu.Unlock()
	f.signal()
	<-f.ended
	if before {
		return ErrClosed
	}
	return f.db.Close()
}

func encode(r Record) (key, value []byte) {
	p := r.pair()
	key = fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s", p.xmpp.Local, p.xmpp.Domain, p.sip.Local, p.sip.Domain)
	value = []byte{byte(r.Watch), byte(r.Feed)}
	return key, binary.BigEndian.AppendUint32(value, crc32.ChecksumIEEE(append(bytes.Clone(key), value...)))
}

func decode(key, value []byte) (Record, error) {
	parts := bytes.Split(key, []byte{0})
	if len(parts) != 4 || len(value) != 6 {
		return Record{}, fmt.Errorf("a record of %d parts and %d bytes", len(parts), len(value))
	}
	if crc32.ChecksumIEEE(append(bytes.Clone(key), value[:2]...)) != binary.BigEndian.Uint32(value[2:]) {
		return Record{}, fmt.Errorf("the record of %q has a wrong checksum", key)
	}
	return Record{
		XMPP:  im.Address{Local: string(parts[0]), Domain: string(parts[1])},
		SIP:   im.Address{Local: string(parts[2]), Domain: string(parts[3])},
		Watch: presence.Auth(value[0]), Feed: presence.Auth(value[1]),
	}, nil
}
