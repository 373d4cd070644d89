package translate

import "fedlab/gateway/im"

// SIP says only whether somebody types; XMPP knows five states. RFC 7573 §6, Tables 3 and 4

// Typing gives what a chat state is in isComposing (RFC 3994) and KeyboardActivity: typing or idle. say is false for a state
// that SIP has no word for: gone ends the session instead, and the zero state says nothing.
func Typing(s im.ChatState) (typing, say bool) {
	switch s {
	case im.Composing:
		return true, true
	case im.Active, im.Paused, im.Inactive:
		return false, true
	}
	return false, false
}

// ChatState gives the chat state that stands for somebody who types, or does not any more.
func ChatState(typing bool) im.ChatState {
	if typing {
		return im.Composing
	}
	return im.Active
}
