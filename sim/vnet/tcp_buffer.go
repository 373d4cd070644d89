package vnet

// sendQueue holds the bytes that were written and not yet acknowledged. Segments' payloads are slices of its chunks, so that
// bytes are copied once on their way in and once on their way out; a chunk is appended to, never changed.
type sendQueue struct {
	chunks [][]byte
	skip   int // bytes at the front of the first chunk that are acknowledged
	size   int
}

const (
	smallestChunk = 1 << 10
	largestChunk  = 64 << 10
)

// write appends a copy of p.
func (q *sendQueue) write(p []byte) {
	q.size += len(p)
	if k := len(q.chunks); k > 0 {
		last := q.chunks[k-1]
		n := min(len(p), cap(last)-len(last))
		q.chunks[k-1] = append(last, p[:n]...)
		p = p[n:]
	}
	for len(p) > 0 {
		size := max(smallestChunk, min(len(p), largestChunk))
		if k := len(q.chunks); k > 0 {
			size = max(size, min(2*cap(q.chunks[k-1]), largestChunk))
		}
		n := min(len(p), size)
		q.chunks = append(q.chunks, append(make([]byte, 0, size), p[:n]...))
		p = p[n:]
	}
}

// slice returns n bytes from offset on; they are there.
func (q *sendQueue) slice(offset, n int) []byte {
	offset += q.skip
	for i, chunk := range q.chunks {
		if offset >= len(chunk) {
			offset -= len(chunk)
			continue
		}
		if rest := chunk[offset:]; len(rest) >= n {
			return rest[:n:n]
		}
		joined := make([]byte, 0, n)
		for _, chunk := range q.chunks[i:] {
			joined = append(joined, chunk[offset:min(len(chunk), offset+n-len(joined))]...)
			offset = 0
			if len(joined) == n {
				break
			}
		}
		return joined
	}
	return nil
}

// discard forgets the first n bytes.
func (q *sendQueue) discard(n int) {
	q.size -= n
	q.skip += n
	if k := len(q.chunks); q.size == 0 && k > 0 && cap(q.chunks[k-1]) > 4*smallestChunk {
		q.reset()
		return
	}
	for len(q.chunks) > 0 && q.skip >= len(q.chunks[0]) {
		if len(q.chunks) == 1 && q.skip < cap(q.chunks[0]) {
			return // its tail can still be written to
		}
		q.skip -= len(q.chunks[0])
		q.chunks[0] = nil
		q.chunks = q.chunks[1:]
	}
}

func (q *sendQueue) reset() { *q = sendQueue{} }
