package doctor

var bothMachines = []Vantage{FromGateway, FromEdge}

var tlsEntries = []Entry{
	{
		Code: "tls.name-mismatch", Severity: Error, From: bothMachines, Steps: []int{6},
		Title:   "The certificate has another name",
		Meaning: "The certificate does not carry the name that it has to: the gateway's actual host name, or the Edge's federation name. Names are compared whole; a wildcard or an alias does not do, and the CN counts only where there is no subjectAltName.",
		Remedy:  "Have the certificate issued again with the right name, as CN or in the subjectAltName.",
		Next:    "That the same name stands in the gateway's configuration and on the Edge's Allow list: if those two are not the same, the certificate may be the one that is right.",
	},
	{
		Code: "tls.expired", Severity: Error, From: bothMachines, Steps: []int{6},
		Title:   "The certificate has expired",
		Meaning: "The certificate, or one of its chain, was valid until the date in the evidence. The other side ends the handshake.",
		Remedy:  "Renew it. The gateway reads its files again when it is restarted.",
		Next:    "The clock of the machine that complains, if the date looks right.",
	},
	{
		Code: "tls.not-yet-valid", Severity: Error, From: bothMachines, Steps: []int{6},
		Title:   "The certificate is not valid yet",
		Meaning: "Its validity begins in the future, as this machine's clock has it.",
		Remedy:  "Set the clock right, here or on the authority that issued it: a certificate is rarely made for later.",
		Next:    "The time source of both machines; perimeter networks often have none.",
	},
	{
		Code: "tls.untrusted", Severity: Error, From: bothMachines, Steps: []int{6},
		Title:   "The certificate comes from no authority that is installed here",
		Meaning: "The chain that the other side presented does not end at an authority known on this machine. A private authority will do for this leg, and its root and issuing certificates have to be installed on both machines.",
		Remedy:  "Install the root certificate named in the evidence on the machine that made this finding (in the gateway's authorities file, or in the Edge's computer store). A self-signed certificate has to be replaced, or pinned on the gateway.",
		Next:    "If the certificate came alone, its issuing certificate may be what is missing: install that on the machine that presents it.",
	},
	{
		Code: "tls.chain-incomplete", Severity: Error, From: bothMachines, Steps: []int{6},
		Title:   "The issuing certificate is not sent along",
		Meaning: "The certificate was presented without that of its issuing authority. The root is installed here, and there is no way from it to the certificate: with the issuing certificate, which is known from elsewhere, it can be verified.",
		Remedy:  "Put the issuing certificate behind the certificate on the machine that presents it, or install it on both machines.",
		Next:    "Programs that fetch or remember issuing certificates hide this until a machine is set up anew.",
	},
	{
		Code: "tls.no-key", Severity: Error, From: bothMachines, Steps: []int{6},
		Title:   "The certificate's private key is missing",
		Meaning: "There is no certificate, or there is one whose private key cannot be read. A certificate without its private key is of no use: no handshake comes about.",
		Remedy:  "Import the certificate together with its key (a PKCS #12 file), or ask for a new one from this machine.",
		Next:    "Whether the key is under a passphrase, and whether the service may read the file.",
	},
	{
		Code: "tls.key-mismatch", Severity: Error, From: bothMachines, Steps: []int{6},
		Title:   "The private key belongs to another certificate",
		Meaning: "The key file and the certificate file do not belong together, so no handshake comes about. It happens when a certificate is renewed and only one of the files is replaced.",
		Remedy:  "Find the key that the certificate was requested with, or have a new pair issued.",
		Next:    "The dates of both files.",
	},
	{
		Code: "tls.usage", Severity: Error, From: bothMachines, Steps: []int{6},
		Title:   "The certificate is not for servers",
		Meaning: "Its extended key usage lacks server authentication. Both machines are called by the other, so each needs it; client authentication besides does no harm and is not needed here.",
		Remedy:  "Have it issued from a template for web servers.",
		Next:    "The template that the authority used.",
	},
	{
		Code: "tls.version", Severity: Error, From: bothMachines, Steps: []int{5},
		Title:   "The other side speaks only an old version of TLS",
		Meaning: "The newest version of TLS that the other side speaks is older than what is allowed here. Windows of 2003 and 2008 know TLS 1.0 only.",
		Remedy:  "Update the other side, or set min_tls of this SIP domain in the gateway's configuration, for as long as that is needed.",
		Next:    "The cipher suites: with TLS 1.0 come others.",
	},
	{
		Code: "tls.cipher", Severity: Error, From: bothMachines, Steps: []int{5},
		Title:   "There is no cipher suite in common",
		Meaning: "Both sides speak the same version of TLS and no cipher suite that is allowed here.",
		Remedy:  "Allow current suites on the other side. For an old peer, min_tls in the gateway's configuration also brings the suites of its time.",
		Next:    "Whether the certificate's key is of a kind that the suites need: RSA or ECDSA.",
	},
	{
		Code: "tls.no-client-certificate", Severity: Error, From: bothMachines, Steps: []int{5},
		Title:   "The other side does not do mutual TLS",
		Meaning: "It did not ask for our certificate, or presented none. Servers of a federation authenticate each other; who does not is not the federation listener.",
		Remedy:  "Check that the next hop is the Edge's federation listener, and that mutual TLS is on there.",
		Next:    "Which service listens on that address and port.",
	},
	{
		Code: "tls.pin", Severity: Error, From: []Vantage{FromGateway}, Steps: []int{5},
		Title:   "The certificate is not the pinned one",
		Meaning: "The configuration pins the fingerprint of the next hop's certificate, and it presents another one. It was renewed, or somebody else answers.",
		Remedy:  "Ask the Edge's administrator for the fingerprint of the new certificate by another way than this connection, and put it into pin.",
		Next:    "Whether the pin is still needed: with the authority installed it is not.",
	},
	{
		Code: "tls.rejected", Severity: Error, From: bothMachines, Steps: []int{6},
		Title:   "The other side does not accept our certificate",
		Meaning: "The other side ended the session when it had seen our certificate, in which nothing wrong can be seen from here. Most often our authority is not installed there.",
		Remedy:  "Run the doctor on the other machine, or read its log: it knows why.",
		Next:    "That the root and issuing certificates of our authority are installed there.",
	},
	{
		Code: "tls.handshake", Severity: Error, From: bothMachines, Steps: []int{5},
		Title:   "No TLS handshake comes about",
		Meaning: "The port is open and the handshake fails whatever is offered: something else than TLS answers, or nothing, or a device in between breaks it.",
		Remedy:  "Check what listens on that address and port, and whether a firewall inspects the traffic.",
		Next:    "The handshake from a machine next to the other side.",
	},
}
