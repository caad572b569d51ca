#include "tests/unit/notifier/bench.h"

#include "notifier/channels/chat_send.h"
#include "notifier/people.h"

/* A vendor that keeps a line for each call and answers as told. */
static struct {
	struct buf said;
	int posts, edits;
	int post_rc[8], edit_rc; /* by call; 0: fine */
	size_t parts;
	bool clicks;
	size_t n_buttons;
	struct buf mentions;
	char ids[4][40], values[4][TOKEN_TEXT];
} v;

static bool clicks(const struct channel *c UNUSED)
{
	return v.clicks;
}

static void render(const struct chat_message *m, const Healbus__ApprovalRequest *a UNUSED,
		   struct chat_parts *out)
{
	while (out->n < v.parts)
		out->items[out->n++] = json_object();
	buf_reset(&v.mentions);
	chat_mentions(&v.mentions, m);
	if (!m->n_buttons)
		return;
	v.n_buttons = m->n_buttons;
	for (size_t i = 0; i < m->n_buttons; i++) {
		snprintf(v.ids[i], sizeof(v.ids[i]), "%s", m->buttons[i].id);
		snprintf(v.values[i], sizeof(v.values[i]), "%s", m->buttons[i].value);
	}
}

static int post(const struct chat_sending *x, json_t *body UNUSED, struct chat_ref *out,
		struct why *out_why)
{
	int rc = v.post_rc[v.posts++];
	buf_printf(&v.said, "post %zu in %s%s%s;", x->part, x->thread ? x->thread : "-",
		   x->loud ? " loud" : "", rc ? " fails" : "");
	snprintf(out->id, sizeof(out->id), "m%d", v.posts);
	snprintf(out->place, sizeof(out->place), "C");
	return rc ? why_set(out_why, rc, "as told") : 0;
}

static int edit(const struct chat_sending *x UNUSED, const struct chat_ref *ref,
		json_t *body UNUSED, struct why *out_why)
{
	v.edits++;
	buf_printf(&v.said, "edit %s%s;", ref->id, v.edit_rc ? " fails" : "");
	return v.edit_rc ? why_set(out_why, v.edit_rc, "as told") : 0;
}

static const struct chat_vendor vendor = {
	.people = "slack", .clicks = clicks, .render = render, .post = post, .edit = edit};

struct scene {
	struct channel channel;
	Healbus__Notice notice;
	Healbus__ApprovalRequest approval;
	Healbus__Decision decision;
	struct token_key *key;
	void *session;
	struct channel_job job;
	struct channel_result out;
};

static int scene_open(void **state)
{
	struct scene *s = mem_alloc(sizeof(*s));
	memset(&v, 0, sizeof(v));
	v.parts = 1;
	v.clicks = true;
	s->channel = (struct channel){.name = (char *)"chat", .timeout_ms = 1000};
	healbus__notice__init(&s->notice);
	healbus__approval_request__init(&s->approval);
	healbus__decision__init(&s->decision);
	s->notice.id = (char *)"n1";
	s->notice.incident = (char *)"inc1";
	s->notice.kind = (char *)"opened";
	s->notice.subject = s->notice.text = (char *)"x";
	s->key = token_key_new("0123456789abcdef0123456789abcdef", 32);
	assert_int_equal(chat_session_open(&s->channel, &s->session, NULL), 0);
	s->job = (struct channel_job){.channel = &s->channel,
				      .session = s->session,
				      .notice = &s->notice,
				      .tokens = s->key};
	*state = s;
	return 0;
}

static int scene_close(void **state)
{
	struct scene *s = *state;
	buf_release(&v.said);
	buf_release(&v.mentions);
	token_key_free(s->key);
	chat_session_close(s->session);
	free(s);
	return 0;
}

static int sends(struct scene *s, const char *kind, const char *update_of)
{
	struct why why = {0};
	buf_reset(&v.said);
	s->notice.kind = (char *)kind;
	s->notice.update_of = (char *)update_of;
	s->out = (struct channel_result){0};
	return chat_send(&vendor, &s->job, &s->out, &why);
}

static void next_notice(struct scene *s, const char *id)
{
	s->notice.id = (char *)id;
}

static void test_refs(void **state UNUSED)
{
	static const char *const bad[] = {"",     "C",       "C:1",      ":1:1",       "C::1",
					  "C:1:", "C:1:1:x", "C:1:1:q:", "C:1/../2:1", "C:1 :1"};
	struct chat_ref r;
	char text[CHANNEL_REF_MAX + 1];
	assert_true(chat_ref_parse("C1:12.34:12.30:q", &r));
	assert_true(r.question && str_eq(r.place, "C1") && str_eq(r.id, "12.34"));
	chat_ref_format(&r, text);
	assert_string_equal(text, "C1:12.34:12.30:q");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (chat_ref_parse(bad[i], &r))
			fail_msg("%s", bad[i]);
	assert_false(chat_ref_parse(NULL, &r));
	auto_buf longest = {0};
	for (int i = 0; i < 100; i++)
		buf_add_char(&longest, 'x');
	buf_add_str(&longest, ":1:1");
	assert_false(chat_ref_parse(longest.data, &r));
}

static void test_thread(void **state)
{
	struct scene *s = *state;
	assert_int_equal(sends(s, "opened", NULL), 0);
	assert_string_equal(v.said.data, "post 0 in -;");
	assert_string_equal(s->out.ref, "C:m1:m1");
	next_notice(s, "n2");
	assert_int_equal(sends(s, "resolved", "C:m1:m1"), 0);
	assert_string_equal(v.said.data, "edit m1;post 0 in m1;");
	next_notice(s, "n3");
	assert_int_equal(sends(s, "escalated", "C:m1:m1"), 0);
	assert_string_equal(v.said.data, "edit m1;post 0 in m1 loud;");
	assert_int_equal(v.n_buttons, 1);
	assert_string_equal(v.ids[0], "ack");
}

static void test_question(void **state)
{
	struct scene *s = *state;
	s->notice.approval = (char *)"ask1";
	s->job.approval = &s->approval;
	assert_int_equal(sends(s, "approval", "C:m0:m0"), 0);
	assert_string_equal(v.said.data, "post 0 in m0 loud;");
	assert_string_equal(s->out.ref, "C:m1:m0:q");
	assert_int_equal(v.n_buttons, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct token_claim claim = {
			.what = answer_what_parse(v.ids[i]), .subject = "ask1", .channel = "chat"};
		assert_true(token_proves(s->key, v.values[i], &claim));
	}
	next_notice(s, "n2");
	assert_int_equal(sends(s, "decided", "C:m1:m0:q"), 0);
	assert_string_equal(v.said.data, "edit m1;");
	assert_string_equal(s->out.ref, "C:m1:m0");
	/* Where the question is the first message, how the incident stands must not replace it. */
	next_notice(s, "n3");
	assert_int_equal(sends(s, "outcome", "C:m1:m1:q"), 0);
	assert_string_equal(v.said.data, "post 0 in m1;");
	next_notice(s, "n4");
	assert_int_equal(sends(s, "decided", "C:m1:m1"), 0);
	assert_string_equal(v.said.data, "post 0 in m1;");
}

/* A part of the answer that does not fit goes under the question. */
static void test_long_answer(void **state)
{
	struct scene *s = *state;
	v.parts = 3;
	assert_int_equal(sends(s, "decided", "C:m1:m0:q"), 0);
	assert_string_equal(v.said.data, "edit m1;post 1 in m0;post 2 in m0;");
}

static void test_no_buttons(void **state)
{
	struct scene *s = *state;
	s->notice.approval = (char *)"ask1";
	s->job.approval = &s->approval;
	s->job.decision = &s->decision;
	assert_int_equal(sends(s, "approval", NULL), 0);
	next_notice(s, "n2");
	s->job.decision = NULL;
	s->job.approval = NULL;
	assert_int_equal(sends(s, "approval", NULL), 0);
	next_notice(s, "n3");
	s->job.approval = &s->approval;
	s->job.tokens = NULL;
	assert_int_equal(sends(s, "approval", NULL), 0);
	next_notice(s, "n4");
	s->job.tokens = s->key;
	v.clicks = false;
	assert_int_equal(sends(s, "approval", NULL), 0);
	assert_int_equal(v.n_buttons, 0);
	/* It is a question all the same: its answer takes its place. */
	assert_string_equal(s->out.ref, "C:m4:m4:q");
}

/* What was posted is not posted again. */
static void test_goes_on(void **state)
{
	struct scene *s = *state;
	v.parts = 3;
	v.post_rc[1] = ERR_UNAVAILABLE;
	assert_int_equal(sends(s, "opened", NULL), ERR_UNAVAILABLE);
	assert_string_equal(v.said.data, "post 0 in -;post 1 in m1 fails;");
	assert_int_equal(sends(s, "opened", NULL), 0);
	assert_string_equal(v.said.data, "post 1 in m1;post 2 in m1;");
	next_notice(s, "n2");
	assert_int_equal(sends(s, "opened", NULL), 0);
	assert_true(str_starts(v.said.data, "post 0 in -;"));
}

static void test_gone(void **state)
{
	struct scene *s = *state;
	v.edit_rc = ERR_NOT_FOUND;
	assert_int_equal(sends(s, "outcome", "C:m0:m0"), 0);
	assert_string_equal(v.said.data, "edit m0 fails;post 0 in -;");
	assert_string_equal(s->out.ref, "C:m1:m1");
	next_notice(s, "n2");
	v.post_rc[1] = ERR_NOT_FOUND;
	assert_int_equal(sends(s, "feedback", "C:m0:m0"), 0);
	assert_string_equal(v.said.data, "post 0 in m0 loud fails;post 0 in - loud;");
	next_notice(s, "n3");
	v.post_rc[3] = v.post_rc[4] = ERR_NOT_FOUND;
	assert_int_equal(sends(s, "approval", "C:m0:m0"), ERR_REJECTED);
	next_notice(s, "n4");
	v.edit_rc = ERR_BUSY;
	assert_int_equal(sends(s, "outcome", "C:m0:m0"), ERR_BUSY);
	assert_string_equal(v.said.data, "edit m0 fails;");
}

/* Whom the configuration knows at this vendor, each once; a name cannot make a mention. */
static void test_mentions(void **state)
{
	struct scene *s = *state;
	struct person items[] = {{.name = (char *)"ann", .slack = (char *)"U1"},
				 {.name = (char *)"bob", .discord = (char *)"9"},
				 {.name = (char *)"eve", .slack = (char *)"U1> <!channel"}};
	const struct people people = {.items = items, .n = ARRAY_SIZE(items)};
	char *to[] = {(char *)"ann", (char *)"bob", (char *)"eve", (char *)"ann", (char *)"zoe"};
	s->notice.to = to;
	s->notice.n_to = ARRAY_SIZE(to);
	assert_int_equal(sends(s, "called", NULL), 0);
	assert_string_equal(buf_str(&v.mentions), "");
	s->job.people = &people;
	next_notice(s, "n2");
	assert_int_equal(sends(s, "called", NULL), 0);
	assert_string_equal(buf_str(&v.mentions), "<@U1>");
	assert_string_equal(v.ids[0], "ack");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refs),
		cmocka_unit_test_setup_teardown(test_thread, scene_open, scene_close),
		cmocka_unit_test_setup_teardown(test_question, scene_open, scene_close),
		cmocka_unit_test_setup_teardown(test_long_answer, scene_open, scene_close),
		cmocka_unit_test_setup_teardown(test_no_buttons, scene_open, scene_close),
		cmocka_unit_test_setup_teardown(test_goes_on, scene_open, scene_close),
		cmocka_unit_test_setup_teardown(test_gone, scene_open, scene_close),
		cmocka_unit_test_setup_teardown(test_mentions, scene_open, scene_close),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
