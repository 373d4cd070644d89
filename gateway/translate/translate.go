// Package translate turns what XMPP says into what SIP says, and back: addresses, errors, text, typing.
//
// It is pure: values in, values out, nothing of the network or the clock. Both sides of the gateway use it, each for its own
// protocol, and meet in the values of package im between. What is done follows RFC 7247 (addresses and errors), RFC 7572
// (messages), RFC 7573 (typing) and XEP-0106 (characters that a JID cannot hold); where a rule leaves a choice, the comment at
// the function says which was taken.
//
// An address has one form only in the gateway, [im.Address]: [ParseJID] and [ParseSIP] make it, [JID] and [SIP] write it. Both
// parsers fold, so that two spellings of one person compare equal, and both refuse what the other side could not say.
package translate
