#include "notifier/channels/chat_send.h"

#include "common/clock.h"
#include "notifier/people.h"

#include <ctype.h>

/* ---- references ---- */

static bool field_take(const char **io, char *out, size_t max)
{
	size_t n = strcspn(*io, ":");
	if (!n || n > max)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)(*io)[i]) && !strchr("._-", (*io)[i]))
			return false;
	memcpy(out, *io, n);
	out[n] = '\0';
	*io += n + ((*io)[n] == ':');
	return true;
}

bool chat_ref_parse(const char *text, struct chat_ref *out)
{
	struct chat_ref ref = {0};
	*out = (struct chat_ref){0};
	const char *p = str_or_empty(text);
	if (!field_take(&p, ref.place, CHAT_PLACE_MAX) || !field_take(&p, ref.id, CHAT_ID_MAX) ||
	    !field_take(&p, ref.thread, CHAT_ID_MAX))
		return false;
	ref.question = str_eq(p, "q");
	if (!ref.question && *p)
		return false;
	*out = ref;
	return true;
}

void chat_ref_format(const struct chat_ref *ref, char out[static CHANNEL_REF_MAX + 1])
{
	snprintf(out, CHANNEL_REF_MAX + 1, "%s:%s:%s%s", ref->place, ref->id, ref->thread,
		 ref->question ? ":q" : "");
}

/* ---- sessions ---- */

int chat_session_open(const struct channel *c UNUSED, void **out_session,
		      struct why *out_why UNUSED)
{
	*out_session = mem_alloc(sizeof(struct chat_session));
	return 0;
}

void chat_session_close(void *session)
{
	free(session);
}

void chat_session_begin(struct chat_session *s, const Healbus__Notice *n)
{
	if (str_eq(s->notice, n->id))
		return;
	*s = (struct chat_session){0};
	snprintf(s->notice, sizeof(s->notice), "%s", n->id);
}

void chat_session_end(struct chat_session *s)
{
	*s->notice = '\0';
}

bool chat_session_resumes(const void *session, const Healbus__Notice *n)
{
	const struct chat_session *s = session;
	return s->done && str_eq(s->notice, n->id);
}

/* The first part stands already, in place of the question. */
static void first_stands(struct chat_session *s, const struct chat_ref *ref)
{
	if (s->done)
		return;
	s->done = 1;
	s->ref = *ref;
}

/* ---- buttons ---- */

struct buttons {
	struct chat_button items[CHAT_BUTTONS_MAX];
	char tokens[CHAT_BUTTONS_MAX][TOKEN_TEXT];
	size_t n;
};

static const struct {
	const char *kind, *label;
	enum answer_what what;
	enum chat_style style;
} button_rows[] = {
	{"approval", "Approve", ANSWER_APPROVE, CHAT_GOOD},
	{"approval", "Deny", ANSWER_DENY, CHAT_BAD},
	{"approval", "More info", ANSWER_INFO, CHAT_PLAIN},
	{"feedback", "It held", ANSWER_HELD, CHAT_GOOD},
	{"feedback", "It did not hold", ANSWER_NOT_HELD, CHAT_BAD},
	{"escalated", "I take it", ANSWER_ACK, CHAT_PLAIN},
	{"called", "I take it", ANSWER_ACK, CHAT_PLAIN},
};

static bool is_kind(const Healbus__Notice *n, const char *kind)
{
	return n->kind && str_eq(n->kind, kind);
}

/* A question that is decided has none, and neither has one that nobody knows any more. */
static void buttons_make(const struct channel_job *job, struct buttons *out)
{
	const Healbus__Notice *n = job->notice;
	bool asks = is_kind(n, "approval");
	const char *subject = asks ? n->approval : n->incident;
	if (!job->tokens || !subject || !*subject || (asks && (!job->approval || job->decision)))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(button_rows) && out->n < CHAT_BUTTONS_MAX; i++) {
		if (!is_kind(n, button_rows[i].kind))
			continue;
		const struct token_claim claim = {.what = button_rows[i].what,
						  .subject = subject,
						  .channel = job->channel->name};
		out->items[out->n] = (struct chat_button){
			.id = answer_what_name(button_rows[i].what),
			.label = button_rows[i].label,
			.value = token_make(job->tokens, &claim, out->tokens[out->n]),
			.style = button_rows[i].style,
		};
		out->n++;
	}
}

/* ---- mentions ---- */

struct mentions {
	const char *ids[CHAT_MENTIONS_MAX];
	size_t n;
};

static bool id_plain(const char *id)
{
	size_t len = strlen(id);
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)id[i]))
			return false;
	return len && len <= CHAT_ID_MAX;
}

static void mention(struct mentions *m, const char *id)
{
	for (size_t i = 0; i < m->n; i++)
		if (str_eq(m->ids[i], id))
			return;
	if (m->n < CHAT_MENTIONS_MAX && id_plain(id))
		m->ids[m->n++] = id;
}

static void mentions_make(const struct channel_job *job, const char *kind, struct mentions *out)
{
	for (size_t i = 0; job->people && i < job->notice->n_to; i++) {
		const struct person *p = person_by(job->people, "name", job->notice->to[i]);
		const char *id = p ? person_id(p, kind) : NULL;
		if (id)
			mention(out, id);
	}
}

/* ---- sending ---- */

int64_t chat_left_ms(const struct chat_sending *x)
{
	return MAX(1, x->deadline_ms - clock_mono_ms());
}

/* Kinds that say how the incident stands. */
static bool is_state(const Healbus__Notice *n)
{
	static const char *const kinds[] = {"opened", "outcome", "escalated", "resolved"};
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (is_kind(n, kinds[i]))
			return true;
	return false;
}

static bool is_question(const Healbus__Notice *n)
{
	return is_kind(n, "approval") || is_kind(n, "feedback");
}

/* Somebody has to do something. */
static bool is_loud(const Healbus__Notice *n)
{
	return is_question(n) || is_kind(n, "escalated") || is_kind(n, "called");
}

/* The first part in place of a message, without buttons. */
static int edit(const struct chat_vendor *vendor, const struct chat_sending *x,
		const struct chat_ref *ref, struct why *out_why)
{
	auto_parts parts = {0};
	const struct chat_message plain = {.notice = x->job->notice};
	vendor->render(&plain, NULL, &parts);
	return vendor->edit(x, ref, parts.items[0], out_why);
}

/* Every part that was not posted yet, each under the first message. */
static int post_all(const struct chat_vendor *vendor, struct chat_sending *x,
		    struct chat_parts *parts, struct why *out_why)
{
	struct chat_session *session = x->job->session;
	for (; session->done < parts->n; session->done++) {
		struct chat_ref ref = {0};
		if (!x->thread && session->done)
			x->thread = session->ref.thread;
		x->part = session->done;
		int rc = vendor->post(x, parts->items[session->done], &ref, out_why);
		if (rc == ERR_NOT_FOUND && x->thread) {
			x->thread = NULL;
			rc = vendor->post(x, parts->items[session->done], &ref, out_why);
		}
		if (rc)
			return rc == ERR_NOT_FOUND ? ERR_REJECTED : rc;
		snprintf(ref.thread, sizeof(ref.thread), "%s", x->thread ? x->thread : ref.id);
		session->ref = ref;
		x->thread = session->ref.thread;
	}
	return 0;
}

static int post(const struct chat_vendor *vendor, struct chat_sending *x, struct why *out_why)
{
	struct chat_session *session = x->job->session;
	const struct channel_job *job = x->job;
	struct buttons buttons = {0};
	struct mentions mentions = {0};
	auto_parts parts = {0};
	if (vendor->clicks(job->channel))
		buttons_make(job, &buttons);
	mentions_make(job, vendor->people, &mentions);
	const struct chat_message m = {
		.notice = job->notice,
		.mentions = mentions.ids,
		.n_mentions = mentions.n,
		.buttons = buttons.items,
		.n_buttons = buttons.n,
		.confirm = job->approval && job->approval->level == HEALBUS__LEVEL__LEVEL_HARD,
	};
	vendor->render(&m, job->approval, &parts);
	int rc = post_all(vendor, x, &parts, out_why);
	x->out->partly = rc && session->done;
	if (rc)
		return rc;
	session->ref.question = is_question(job->notice);
	chat_ref_format(&session->ref, x->out->ref);
	chat_session_end(session);
	return 0;
}

int chat_send(const struct chat_vendor *vendor, const struct channel_job *job,
	      struct channel_result *out, struct why *out_why)
{
	const Healbus__Notice *n = job->notice;
	struct chat_ref ref;
	bool known = chat_ref_parse(n->update_of, &ref);
	bool answer = is_kind(n, "decided") && ref.question;
	struct chat_sending x = {
		.job = job,
		.out = out,
		.deadline_ms = clock_mono_ms() + job->channel->timeout_ms,
		.thread = known ? ref.thread : NULL,
		.loud = is_loud(n),
	};
	chat_session_begin(job->session, n);
	bool replaces = known && (answer || (is_state(n) && !ref.question));
	if (replaces) {
		int rc = edit(vendor, &x, &ref, out_why);
		if (rc && rc != ERR_NOT_FOUND)
			return rc;
		/* Gone: what is said is said anew. */
		if (rc && !answer)
			x.thread = NULL;
		if (!rc && answer)
			first_stands(job->session, &ref);
	}
	return post(vendor, &x, out_why);
}
