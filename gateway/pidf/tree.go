package pidf

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// node is one element of a document.
type node struct {
	name     xml.Name
	attrs    []xml.Attr
	text     strings.Builder // of this element itself
	children []*node
}

// Bounds of a document.
const (
	maxDepth    = 32
	maxElements = 5000
)

// parse reads a document into a tree. A document type is passed over, as XPIDF has one; entities of its own are errors.
func parse(body []byte) (*node, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	var root *node
	var open []*node
	for elements := 0; ; {
		token, err := d.Token()
		if err == io.EOF && root != nil && len(open) == 0 {
			return root, nil
		}
		if err != nil {
			return nil, fmt.Errorf("pidf: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if elements++; elements > maxElements || len(open) >= maxDepth {
				return nil, errors.New("pidf: a document with too many elements")
			}
			n := &node{name: t.Name, attrs: t.Copy().Attr}
			switch {
			case len(open) > 0:
				parent := open[len(open)-1]
				parent.children = append(parent.children, n)
			case root == nil:
				root = n
			default:
				return nil, errors.New("pidf: two documents in one")
			}
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].text.Write(t)
			}
		}
	}
}

// find gives the first child of that name, in any of the namespaces; nil if there is none, and of a nil node.
func (n *node) find(local string, spaces ...string) *node {
	for _, c := range n.all(local, spaces...) {
		return c
	}
	return nil
}

// all gives the children of that name. Without namespaces any will do: OCS's family is not consistent.
func (n *node) all(local string, spaces ...string) []*node {
	if n == nil {
		return nil
	}
	var found []*node
	for _, c := range n.children {
		if c.name.Local == local && (len(spaces) == 0 || contains(spaces, c.name.Space)) {
			found = append(found, c)
		}
	}
	return found
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// attr gives an attribute by its local name, in whatever namespace.
func (n *node) attr(local string) string {
	if n == nil {
		return ""
	}
	for _, a := range n.attrs {
		if a.Name.Local == local {
			return a.Value
		}
	}
	return ""
}

// words gives the text of an element; empty for nil.
func (n *node) words() string {
	if n == nil {
		return ""
	}
	return strings.TrimSpace(n.text.String())
}
