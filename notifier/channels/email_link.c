#include "notifier/channels/email_link.h"

/* ---- in the mail ---- */

static const char *token(const struct channel_job *job, const char *recipient,
			 enum answer_what what, char out[static TOKEN_TEXT])
{
	struct token_claim claim = {
		.what = what,
		.subject = job->notice->approval,
		.channel = job->channel->name,
		.person = recipient,
	};
	return token_make(job->tokens, &claim, out);
}

bool email_links_add(const struct channel_job *job, const char *links_url, const char *recipient,
		     struct buf *out)
{
	static const struct {
		const char *label;
		enum answer_what what;
	} links[] = {{"Approve", ANSWER_APPROVE}, {"Deny", ANSWER_DENY}};
	const Healbus__Notice *n = job->notice;
	char info[TOKEN_TEXT], own[TOKEN_TEXT];
	bool open = str_eq(n->kind, "approval") && n->approval && *n->approval && !job->decision;
	if (!open || !job->tokens)
		return false;
	token(job, recipient, ANSWER_INFO, info);
	buf_add_char(out, '\n');
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		buf_printf(out, "%s: %s/channel/%s?t=%s&i=%s\n", links[i].label, links_url,
			   job->channel->name, token(job, recipient, links[i].what, own), info);
	buf_add_str(out, "These links are yours alone: who has them answers in your name. Each "
			 "asks once more before it decides.\n");
	return true;
}

/* ---- the page behind it ---- */

/* From receive to answered. */
struct visit {
	bool decides;
	enum answer_what what;
	char token[TOKEN_TEXT];
};

static void add_escaped(struct buf *out, const char *s)
{
	static const char *const names[128] = {['&'] = "&amp;",
					       ['<'] = "&lt;",
					       ['>'] = "&gt;",
					       ['"'] = "&quot;",
					       ['\''] = "&#39;"};
	auto_buf shown = {0};
	buf_add_printable(&shown, s, strlen(s));
	for (size_t i = 0; i < shown.len; i++) {
		unsigned char c = (unsigned char)shown.data[i];
		if (c < 128 && names[c])
			buf_add_str(out, names[c]);
		else
			buf_add_char(out, (char)c);
	}
}

static void page(struct buf *out, const char *title, const char *text)
{
	buf_add_str(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
			 "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
			 "<meta name=\"color-scheme\" content=\"light dark\"><title>");
	add_escaped(out, title);
	buf_add_str(out, "</title></head><body><main><h1>");
	add_escaped(out, title);
	buf_add_str(out, "</h1>\n<pre>");
	add_escaped(out, text);
	buf_add_str(out, "</pre>\n");
}

static void page_end(struct buf *out)
{
	buf_add_str(out, "</main></body></html>\n");
}

static const char *verb(const struct visit *v)
{
	return v->what == ANSWER_APPROVE ? "Approve" : "Deny";
}

void email_answered(const struct channel *c, const struct answer_out *what,
		    struct channel_reply *reply)
{
	const struct visit *v = reply->state;
	bool refused = str_eq(what->result, "refused");
	const char *text = buf_str(&what->text);
	reply->content_type = "text/html; charset=utf-8";
	if (refused || v->decides) {
		reply->status = refused ? 403 : 200;
		page(&reply->body, refused ? "Not done" : "Done", text);
		page_end(&reply->body);
		return;
	}
	auto_free char *title = mem_printf("%s this?", verb(v));
	page(&reply->body, title, text);
	buf_printf(&reply->body,
		   "<form method=\"post\" action=\"%s\"><input type=\"hidden\" name=\"t\" "
		   "value=\"%s\"><button type=\"submit\">%s</button></form>\n",
		   c->name, v->token, verb(v));
	page_end(&reply->body);
}

/* The value of t in a form of this one field; tokens need no encoding. */
static bool form_token(const struct channel_request *in, char out[static TOKEN_TEXT])
{
	if (in->body_len < 3 || in->body_len > 2 + TOKEN_TEXT_MAX || !str_starts(in->body, "t=") ||
	    strlen(in->body) != in->body_len)
		return false;
	snprintf(out, TOKEN_TEXT, "%s", in->body + 2);
	return true;
}

static bool link_token(const struct channel_request *in, char out[static TOKEN_TEXT])
{
	const char *given = in->query(in->ctx, "t");
	if (!given || strlen(given) > TOKEN_TEXT_MAX)
		return false;
	snprintf(out, TOKEN_TEXT, "%s", given);
	return true;
}

int email_receive(const struct channel *c UNUSED, const struct channel_request *in,
		  struct channel_reply *out, struct why *out_why)
{
	char subject[TOKEN_SUBJECT_SHOWN + 1];
	struct visit *v = arena_alloc(&out->arena, sizeof(*v));
	if (!v)
		return ERR_TOO_LARGE;
	bool decides = str_eq(in->method, "POST");
	v->decides = decides;
	bool given = decides ? form_token(in, v->token) : link_token(in, v->token);
	const char *info = decides ? NULL : in->query(in->ctx, "i");
	if (!given || !token_read(v->token, &v->what, subject) || (!decides && !info) ||
	    (v->what != ANSWER_APPROVE && v->what != ANSWER_DENY))
		return why_set(out_why, ERR_UNAUTHENTICATED, "this link is not one of ours");
	enum answer_what of_info = ANSWER_NONE;
	if (!decides && (!token_read(info, &of_info, subject) || of_info != ANSWER_INFO))
		return why_set(out_why, ERR_UNAUTHENTICATED, "this link is not one of ours");
	out->state = v;
	out->give = true;
	out->in.token = decides ? v->token : arena_strdup(&out->arena, info);
	out->in.kind = "email";
	return 0;
}
