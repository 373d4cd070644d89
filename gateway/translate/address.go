package translate

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"

	"fedlab/gateway/im"
)

// maxPart is the most bytes that each part of a JID may have after preparation. RFC 7622 §3.1
const maxPart = 1023

// maxURI bounds what is looked at before any work is done: three parts, each byte of which may be percent-encoded.
const maxURI = 3*3*maxPart + 256

// ErrSecureOnly is the reason why a sips: URI is not taken: such a request must not leave SIP. RFC 7247 §8
var ErrSecureOnly = errors.New("a sips: address must not be reached over another protocol")

// AddressError says what is wrong with an address.
type AddressError struct {
	Form  string // what it was read as: "JID" or "SIP URI"
	Input string // as received, shortened to what a log can hold
	Err   error
}

func (e *AddressError) Error() string { return fmt.Sprintf("%s %q: %v", e.Form, e.Input, e.Err) }

// Unwrap gives the reason, [ErrSecureOnly] among them.
func (e *AddressError) Unwrap() error { return e.Err }

// Failure is what the sender is told.
func (e *AddressError) Failure() *im.Failure {
	return &im.Failure{Condition: im.JIDMalformed, Text: e.Error()}
}

func addressError(form, input string, err error) *AddressError {
	if len(input) > 100 {
		input = strings.ToValidUTF8(input[:100], "") + "…"
	}
	return &AddressError{Form: form, Input: input, Err: err}
}

// ParseJID reads a JID: bare, full, or a domain alone (Local is empty then). Case is folded as RFC 7622 §3.3 says, XEP-0106
// escapes are undone after that, and a U-label domain becomes an A-label. The error is an [*AddressError].
//
// Refused beside what RFC 7622 refuses: IP literals, and local parts that no conforming escaper writes (\20 at an end, \5c where
// nothing had to be escaped), because two JIDs would then become one address.
func ParseJID(s string) (im.Address, error) {
	a, err := parseJID(s)
	if err != nil {
		return im.Address{}, addressError("JID", s, err)
	}
	return a, nil
}

func parseJID(s string) (im.Address, error) {
	if len(s) > 3*maxPart+2 {
		return im.Address{}, errors.New("longer than a JID can be")
	}
	bare, resource, hasResource := strings.Cut(s, "/") // RFC 7622 §3.2: first the resource, then the local part
	local, domain, hasLocal := strings.Cut(bare, "@")
	if !hasLocal {
		local, domain = "", bare
	}
	var a im.Address
	var err error
	if hasLocal {
		prepared, err := prepareLocal(local)
		if err != nil {
			return a, err
		}
		a.Local = unescape(prepared)
		if escape(a.Local) != prepared {
			return a, errors.New(`escapes that no XEP-0106 escaper writes`)
		}
		if err := checkEnds(a.Local); err != nil {
			return a, err
		}
	}
	if a.Domain, err = ParseDomain(domain); err != nil {
		return a, err
	}
	if hasResource {
		if a.Resource, err = prepareResource(resource); err != nil {
			return a, err
		}
	}
	return a, nil
}

// JID writes a as it goes on the wire of XMPP: the local part escaped (XEP-0106), the domain in U-labels (RFC 7622 §3.2.1).
// The address must come from [ParseJID] or [ParseSIP].
func JID(a im.Address) string {
	var b strings.Builder
	if a.Local != "" {
		b.WriteString(escape(a.Local))
		b.WriteByte('@')
	}
	b.WriteString(DisplayDomain(a.Domain))
	if a.Resource != "" {
		b.WriteByte('/')
		b.WriteString(a.Resource)
	}
	return b.String()
}

// ParseDomain reads a domain in either form and returns it in lower-case A-labels. One dot at the end is dropped
// (RFC 7622 §3.2).
func ParseDomain(s string) (string, error) {
	s = strings.TrimSuffix(s, ".")
	if s == "" {
		return "", errors.New("no domain")
	}
	if strings.HasPrefix(s, "[") {
		return "", errors.New("an IP literal is not a domain")
	}
	if plainDomain(s) {
		return s, nil
	}
	if len(s) > maxPart {
		return "", errors.New("domain of over 1023 bytes")
	}
	ascii, err := domains.ToASCII(s)
	if err != nil {
		return "", fmt.Errorf("domain: %w", err)
	}
	if strings.HasSuffix(ascii, ".") {
		return "", errors.New("domain with an empty label")
	}
	if back, err := domains.ToUnicode(ascii); err != nil || len(back) > maxPart {
		return "", errors.New("domain that has no form in U-labels")
	} else if again, err := domains.ToASCII(back); err != nil || again != ascii {
		return "", errors.New("domain that does not survive the way from A-labels to U-labels")
	}
	return ascii, nil
}

// DisplayDomain writes an A-label domain in U-labels. What is no A-label stays as it is.
func DisplayDomain(ascii string) string {
	if !strings.Contains(ascii, "xn--") {
		return ascii
	}
	if u, err := domains.ToUnicode(ascii); err == nil {
		return u
	}
	return ascii
}

// domains is IDNA2008 with the mapping of UTS 46 (case, width), as one looks a name up. RFC 5891 §5
var domains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(true),
	idna.VerifyDNSLength(true))

// plainDomain reports whether s is a lower-case host name in ASCII that needs no preparation: nearly every domain is.
func plainDomain(s string) bool {
	if len(s) > 253 {
		return false
	}
	label := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			label++
		case c == '-':
			if label == 0 || i+1 == len(s) || s[i+1] == '.' || label == 2 || label == 3 { // "xn--" and its like go the long way
				return false
			}
			label++
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
		default:
			return false
		}
		if label > 63 {
			return false
		}
	}
	return label > 0
}

// prepareLocal prepares an escaped local part: RFC 7622 §3.3, UsernameCaseMapped without the characters that §3.3.1 excludes.
func prepareLocal(s string) (string, error) {
	if s == "" {
		return "", errors.New("empty local part")
	}
	prepared := s
	if ascii, ok := lowerASCII(s); ok {
		prepared = ascii
	} else {
		if !utf8.ValidString(s) {
			return "", errors.New("local part is not UTF-8")
		}
		var err error
		if prepared, err = precis.UsernameCaseMapped.String(s); err != nil {
			return "", fmt.Errorf("local part: %w", err)
		}
		if again, err := precis.UsernameCaseMapped.String(prepared); err != nil || again != prepared {
			return "", errors.New("local part has no stable form")
		}
		// A full-width \ or @ must not become a real one: preparation would make what no sender wrote.
		if strings.Count(prepared, `\`) != strings.Count(s, `\`) {
			return "", errors.New("local part with a look-alike of a backslash")
		}
	}
	if i := strings.IndexAny(prepared, "\"&'/:<>@ "); i >= 0 {
		return "", fmt.Errorf("character %q in the local part", prepared[i])
	}
	if len(prepared) > maxPart {
		return "", errors.New("local part of over 1023 bytes")
	}
	return prepared, nil
}

// lowerASCII lowers s if it is printable ASCII without space, which needs no other preparation.
func lowerASCII(s string) (string, bool) {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return "", false
		}
	}
	return strings.ToLower(s), true
}

// prepareResource prepares a resource: OpaqueString, case kept. RFC 7622 §3.4
func prepareResource(s string) (string, error) {
	if s == "" {
		return "", errors.New("empty resource")
	}
	prepared, plain := s, true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f
	}
	if !plain {
		if !utf8.ValidString(s) {
			return "", errors.New("resource is not UTF-8")
		}
		var err error
		if prepared, err = precis.OpaqueString.String(s); err != nil {
			return "", fmt.Errorf("resource: %w", err)
		}
		if again, err := precis.OpaqueString.String(prepared); err != nil || again != prepared {
			return "", errors.New("resource has no stable form")
		}
	}
	if len(prepared) > maxPart {
		return "", errors.New("resource of over 1023 bytes")
	}
	return prepared, nil
}

// checkEnds holds the rule that \20 is neither first nor last in an escaped local part. XEP-0106, note at the escaping table
func checkEnds(local string) error {
	if strings.HasPrefix(local, " ") || strings.HasSuffix(local, " ") {
		return errors.New("local part begins or ends with a space")
	}
	return nil
}
