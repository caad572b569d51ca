#include "common/mail.h"

enum {
	ADDRESS_MAX = 254,
	LINE_MAX_CHARS = 76,
	/* An encoded word has 75 characters at most: =?UTF-8?Q?...?= */
	WORD_MAX_CHARS = 75 - 12,
};

bool mail_address_valid(const char *address)
{
	const char *at = strchr(address, '@');

	if (!at || at == address || at[1] == 0 || strchr(at + 1, '@') ||
	    strlen(address) > ADDRESS_MAX)
		return false;
	for (const char *p = address; *p; p++) {
		if (*p <= ' ' || *p >= 0x7f || strchr("\"(),:;<>[\\]", *p))
			return false;
	}
	return true;
}

static int check(const struct mail *mail, struct why *out_why)
{
	size_t n = 0;

	if (!mail_address_valid(mail->from))
		return why_set(out_why, ERR_INVALID, "from: not a plain mail address");
	for (; mail->to[n]; n++) {
		if (n == MAIL_RECIPIENTS_MAX || !mail_address_valid(mail->to[n]))
			return why_set(out_why, ERR_INVALID, "to[%zu]: not a plain mail address",
				       n);
	}
	if (n == 0)
		return why_set(out_why, ERR_INVALID, "to: nobody");
	if (!mail_address_valid(mail->message_id))
		return why_set(out_why, ERR_INVALID, "message_id: want something@host");
	return 0;
}

static void add_date(struct buf *out, int64_t at_ms)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t seconds = (time_t)(at_ms / 1000);
	struct tm tm = {0};

	gmtime_r(&seconds, &tm);
	buf_printf(out, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday,
		   months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static bool is_plain(const char *s)
{
	size_t len = 0;

	for (; *s; s++, len++) {
		if (*s < ' ' || *s >= 0x7f)
			return false;
	}
	return len <= LINE_MAX_CHARS - 9 && !strstr(s - len, "=?");
}

/* Bytes of the UTF-8 character at s; 1 for a stray byte. */
static size_t char_len(const char *s)
{
	size_t n = 1;

	while (n < 4 && (s[n] & 0xc0) == 0x80)
		n++;
	return (s[0] & 0xc0) == 0xc0 ? n : 1;
}

static size_t word_cost(const char *s, size_t len)
{
	return len == 1 && ((*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') ||
			    (*s >= 'a' && *s <= 'z') || *s == ' ')
		       ? 1
		       : 3 * len;
}

/* RFC 2047: a character is never split over two words. */
static void add_encoded_words(struct buf *out, const char *s)
{
	size_t used = sizeof("Subject: ") - 1;

	buf_add_str(out, "=?UTF-8?Q?");
	while (*s) {
		size_t len = char_len(s);
		size_t cost = word_cost(s, len);

		if (used + cost > WORD_MAX_CHARS) {
			buf_add_str(out, "?=\r\n =?UTF-8?Q?");
			used = 0;
		}
		used += cost;
		if (cost == 1)
			buf_add_char(out, *s == ' ' ? '_' : *s);
		for (size_t i = 0; cost > 1 && i < len; i++)
			buf_printf(out, "=%02X", (unsigned char)s[i]);
		s += len;
	}
	buf_add_str(out, "?=");
}

/* RFC 2045 section 6.7. */
static void add_quoted_line(struct buf *out, const char *s, size_t len)
{
	size_t column = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		bool plain = (c >= 33 && c <= 126 && c != '=') ||
			     ((c == ' ' || c == '\t') && i + 1 < len);
		size_t cost = plain ? 1 : 3;

		if (column + cost > LINE_MAX_CHARS - 1) {
			buf_add_str(out, "=\r\n");
			column = 0;
		}
		if (plain)
			buf_add_char(out, (char)c);
		else
			buf_printf(out, "=%02X", c);
		column += cost;
	}
	buf_add_str(out, "\r\n");
}

static void add_text(struct buf *out, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		size_t shown = len > 0 && text[len - 1] == '\r' ? len - 1 : len;

		add_quoted_line(out, text, shown);
		text += len + (text[len] == '\n');
	}
}

int mail_compose(const struct mail *mail, struct buf *out, struct why *out_why)
{
	int rc = check(mail, out_why);

	if (rc)
		return rc;
	add_date(out, mail->at_ms);
	buf_printf(out, "From: <%s>\r\n", mail->from);
	for (size_t i = 0; mail->to[i]; i++)
		buf_printf(out, "%s<%s>", i ? ",\r\n " : "To: ", mail->to[i]);
	buf_printf(out, "\r\nMessage-ID: <%s>\r\nSubject: ", mail->message_id);
	if (is_plain(mail->subject))
		buf_add_str(out, mail->subject);
	else
		add_encoded_words(out, mail->subject);
	buf_add_str(out, "\r\nMIME-Version: 1.0\r\nAuto-Submitted: auto-generated\r\n"
			 "Content-Type: text/plain; charset=utf-8\r\n"
			 "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
	add_text(out, mail->text);
	return 0;
}
