/* What people hand over instead of a capture that can be read: says what it is, and how to get at it. */
#include <errno.h>

#include "base/le.h"
#include "capture/source.h"

#define EDITCAP "editcap -F pcapng IN OUT makes a capture of it that can be read (package wireshark-common)"

/* First bytes, by what wireshark's wiretap and file(1) know. */
static const struct {
	const char *magic;
	uint8_t n;
	const char *what;
	const char *hint; /* a sentence, or one word: what unpacks it into a pipe */
} magics[] = {
	{"\xfd\x37zXZ", 5, "is compressed (xz)", "xzcat"},
	{"BZh", 3, "is compressed (bzip2)", "bzcat"},
	{"\x04\x22\x4d\x18", 4, "is compressed (lz4)", "lz4cat"},
	{"\x1f\x9d", 2, "is compressed (compress)", "zcat"},
	{"PK\3\4", 4, "is a zip archive", "unzip it first"},
	{"7z\xbc\xaf\x27\x1c", 6, "is a 7-Zip archive", "unpack it first"},
	{"snoop\0\0\0", 8, "is a snoop file", EDITCAP},
	{"btsnoop\0", 8, "is a btsnoop file (Bluetooth)", "there is no TCP in it"},
	{"RTSS", 4, "is a Network Monitor 1 file", EDITCAP},
	{"GMBU", 4, "is a Network Monitor 2 file", EDITCAP},
	{"TRSNIFF data    \x1a", 16, "is a Sniffer file", EDITCAP},
	{"XCP\0", 4, "is a NetXRay or Windows Sniffer file", EDITCAP},
	{"\x7fver", 4, "is an EtherPeek or OmniPeek file", EDITCAP},
	{"\xaa\xaa\xaa\xaa", 4, "is a 5Views file", EDITCAP},
	{"iptrace 1.0", 11, "is an iptrace file (AIX)", EDITCAP},
	{"iptrace 2.0", 11, "is an iptrace file (AIX)", EDITCAP},
	{"\0\0\2\0\x12\5\0\x10", 8, "is a K12 file", EDITCAP},
	{"\xac\1\0\x1c", 4, "is an IXIA pcap file", EDITCAP},
	{"\xab\1\0\x1c", 4, "is an IXIA pcap file", EDITCAP},
	{"\x1c\0\1\xac", 4, "is an IXIA pcap file", EDITCAP},
	{"\x1c\0\1\xab", 4, "is an IXIA pcap file", EDITCAP},
	{"\x12\xcb\xe2\xa1", 4, "is a Navtel pcap file", EDITCAP},
	{"\x54\x52\0\x64\0", 5, "is a nettl file (HP-UX)", EDITCAP},
	{"SQLite format 3", 15, "is an SQLite database",
		"evtrace find --store DIR reads a store, evtrace import captures and record files"},
	{"\x7f\x45LF", 4, "is a program", ""},
};

/* Endace's ERF has no magic: a little-endian 32.32 time, type, flags, and three lengths in network order. */
static bool is_erf(struct span h)
{
	uint32_t seconds, rlen, wlen;

	if (h.n < 16)
		return false;
	seconds = (uint32_t)le_get(h.p + 4, 4);
	rlen = (uint32_t)h.p[10] << 8 | h.p[11];
	wlen = (uint32_t)h.p[14] << 8 | h.p[15];
	return seconds > 788918400 && seconds < 4102444800u /* 1995 to 2100 */ && (h.p[8] & 0x7f) &&
	       (h.p[8] & 0x7f) <= 33 && rlen >= 18 && wlen && wlen <= rlen + 8u && wlen + 64u >= rlen;
}

static int say(const struct input *in, const char *what, const char *hint, struct err *e)
{
	bool tool = *hint && !strchr(hint, ' ');

	err_set(e, -EINVAL, "%s %s", in->path, what);
	if (tool)
		err_hint(e, "%s %s%sevtrace import -", hint, in->fd ? in->path : "", in->fd ? " | " : "| ");
	else if (*hint)
		err_hint(e, "%s", hint);
	return -EINVAL;
}

int source_foreign(const struct input *in, struct span head, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(magics); i++) {
		struct span m = span_of(magics[i].magic, magics[i].n);

		if (span_eq(span_sub(head, 0, m.n), m))
			return say(in, magics[i].what, magics[i].hint, e);
	}
	if (in->cut && head.n < SOURCE_PEEK)
		return err_set(e, -EBADMSG, "%s is cut: it ends before the first bytes of it can be unpacked",
			in->path);
	if (!head.n)
		return err_set(e, -EINVAL, "%s is empty", in->path);
	if (is_erf(head))
		return say(in, "looks like an ERF file (Endace)", EDITCAP, e);
	err_set(e, -EINVAL, "%s is neither a record file of evtrace nor a capture (pcap, pcapng)", in->path);
	err_hint(e, "evtrace record --raw FILE writes one, tcpdump -w FILE the other");
	return -EINVAL;
}
