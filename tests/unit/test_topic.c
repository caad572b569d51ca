#include "common/topic.h"

#include "common/id.h"
#include "common/mem.h"

#include <setjmp.h>
#include <cmocka.h>
#include <sys/wait.h>

static const struct parse_case {
	const char *subject;
	int rc;
	enum kind kind;
	unsigned partition;
	const char *token;
} parse_cases[] = {
	{"raw.alertmanager", 0, KIND_RAW, 0, "alertmanager"},
	{"event.00.check", 0, KIND_EVENT, 0, "check"},
	{"event.15.tick", 0, KIND_TICK, 15, "tick"},
	{"event.07.control", 0, KIND_CONTROL, 7, "control"},
	{"heal.incident.abc", 0, KIND_INCIDENT, 0, "abc"},
	{"heal.plan.abc", 0, KIND_PLAN, 0, "abc"},
	{"heal.approval.abc", 0, KIND_APPROVAL, 0, "abc"},
	{"heal.decision.abc", 0, KIND_DECISION, 0, "abc"},
	{"heal.step.abc", 0, KIND_STEP, 0, "abc"},
	{"heal.outcome.abc", 0, KIND_OUTCOME, 0, "abc"},
	{"heal.model.abc", 0, KIND_MODEL, 0, "abc"},
	{"heal.notice.abc", 0, KIND_NOTICE, 0, "abc"},
	{"heal.control.pause", 0, KIND_CONTROL, 0, "pause"},
	{"dead.monitor", 0, KIND_DEAD, 0, "monitor"},
	{"", ERR_INVALID, 0, 0, NULL},
	{"raw", ERR_INVALID, 0, 0, NULL},
	{"raw.", ERR_INVALID, 0, 0, NULL},
	{"raw.a.b", ERR_INVALID, 0, 0, NULL},
	{"raw.a b", ERR_INVALID, 0, 0, NULL},
	{"raw.*", ERR_INVALID, 0, 0, NULL},
	{"event.16.check", ERR_INVALID, 0, 0, NULL},
	{"event.7.check", ERR_INVALID, 0, 0, NULL},
	{"event.007.check", ERR_INVALID, 0, 0, NULL},
	{"event.-1.check", ERR_INVALID, 0, 0, NULL},
	{"event.aa.check", ERR_INVALID, 0, 0, NULL},
	{"heal.event.abc", ERR_INVALID, 0, 0, NULL},
	{"heal.raw.abc", ERR_INVALID, 0, 0, NULL},
	{"heal.dead.abc", ERR_INVALID, 0, 0, NULL},
	{"heal.newer.abc", ERR_NOT_FOUND, 0, 0, NULL},
	{"heal.newer.a.b", ERR_INVALID, 0, 0, NULL},
	{"heal.plan.a.b", ERR_INVALID, 0, 0, NULL},
	{"heal.plan", ERR_INVALID, 0, 0, NULL},
	{"HEAL.plan.abc", ERR_INVALID, 0, 0, NULL},
};

static void test_parse(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(parse_cases); i++) {
		const struct parse_case *c = &parse_cases[i];
		struct topic t = {.kind = KIND_DEAD};
		print_message("# %s\n", c->subject);
		assert_int_equal(topic_parse(c->subject, &t), c->rc);
		if (c->rc) {
			assert_int_equal(t.kind, KIND_DEAD);
			continue;
		}
		assert_int_equal(t.kind, c->kind);
		assert_int_equal(t.partition, c->partition);
		assert_string_equal(t.token, c->token);
	}
}

static void test_long_subject_is_refused(void **state)
{
	(void)state;
	char subject[400];
	struct topic t;
	memset(subject, 'a', sizeof(subject));
	memcpy(subject, "raw.", 4);
	subject[sizeof(subject) - 1] = '\0';
	assert_int_equal(topic_parse(subject, &t), ERR_INVALID);
	subject[4 + TOKEN_MAX + 1] = '\0';
	assert_int_equal(topic_parse(subject, &t), ERR_INVALID);
	subject[4 + TOKEN_MAX] = '\0';
	assert_int_equal(topic_parse(subject, &t), 0);
	assert_int_equal(strlen(t.token), TOKEN_MAX);
}

static void test_written_subjects_parse_back(void **state)
{
	(void)state;
	char s[SUBJECT_MAX + 1];
	struct topic t;
	assert_string_equal(subject_raw(s, "grafana"), "raw.grafana");
	assert_string_equal(subject_event(s, 3, "grafana"), "event.03.grafana");
	assert_string_equal(subject_partition(s, 11), "event.11.>");
	assert_string_equal(subject_dead(s, "reasoner"), "dead.reasoner");
	for (enum kind k = KIND_INCIDENT; k <= KIND_CONTROL; k++) {
		assert_int_equal(topic_parse(subject_story(s, k, "x-1_Y"), &t), 0);
		assert_int_equal(t.kind, k);
		assert_string_equal(t.token, "x-1_Y");
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_null(kind_name(KIND_NONE));
	assert_null(kind_name(KINDS));
	assert_string_equal(kind_name(KIND_PLAN), "plan");
	assert_string_equal(kind_name(KIND_DEAD), "dead");
	assert_true(source_reserved("tick"));
	assert_true(source_reserved("control"));
	assert_false(source_reserved("check"));
}

static void test_consumers_name_streams_that_exist(void **state)
{
	(void)state;
	for (size_t i = 0; i < topic_consumers_n; i++) {
		const struct topic_consumer *c = &topic_consumers[i];
		size_t found = 0;
		for (size_t j = 0; j < topic_streams_n; j++)
			found += str_eq(topic_streams[j].name, c->stream);
		assert_int_equal(found, 1);
		assert_ptr_equal(topic_consumer_find(c->name), c);
	}
	assert_null(topic_consumer_find("nobody"));
}

static bool has_right(const char *user, const char *publish)
{
	for (size_t i = 0; i < topic_rights_n; i++)
		if (str_eq(topic_rights[i].stage, user) && topic_rights[i].publish &&
		    str_eq(topic_rights[i].publish, publish))
			return true;
	return false;
}

/* Tokens after which a right would change or destroy streams, or reach other accounts' data. */
static const char *const admin_only[] = {
	"STREAM.CREATE",  "STREAM.UPDATE",     "STREAM.DELETE",
	"STREAM.PURGE",   "STREAM.MSG.DELETE", "ACCOUNT",
	"STREAM.RESTORE", "STREAM.SNAPSHOT",   "STREAM.TEMPLATE",
};

static void test_no_stage_administers(void **state)
{
	(void)state;
	for (size_t i = 0; i < topic_rights_n; i++) {
		const struct topic_right *r = &topic_rights[i];
		assert_true(!r->publish != !r->subscribe);
		const char *subject = r->publish ? r->publish : r->subscribe;
		assert_false(str_eq(subject, ">") || str_starts(subject, "$JS.>") ||
			     str_starts(subject, "$JS.API.>") || str_starts(subject, "$KV.>"));
		if (str_eq(r->stage, "operator"))
			continue;
		for (size_t j = 0; j < ARRAY_SIZE(admin_only); j++)
			assert_null(strstr(subject, admin_only[j]));
	}
	/* Streams forbid purging, but while they are laid anew from a backup. */
	for (size_t j = 2; j < ARRAY_SIZE(admin_only); j++)
		for (size_t i = 0; i < topic_rights_n; i++)
			assert_true(!topic_rights[i].publish ||
				    !strstr(topic_rights[i].publish, admin_only[j]) ||
				    str_eq(admin_only[j], "STREAM.PURGE"));
}

static void test_who_may_say_what(void **state)
{
	(void)state;
	assert_true(has_right("notifier", "heal.decision.*"));
	assert_true(has_right("reasoner", "heal.plan.*"));
	assert_true(has_right("monitor", "$JS.API.CONSUMER.MSG.NEXT.EVENTS.monitor-15"));
	assert_true(has_right("executor", "$KV.CLAIM.>"));
	static const char *const others[] = {"monitor", "reasoner", "executor", "source"};
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		assert_false(has_right(others[i], "heal.decision.*"));
		assert_false(has_right(others[i], "heal.>"));
	}
	assert_false(has_right("executor", "heal.plan.*"));
	assert_false(has_right("notifier", "heal.plan.*"));
	for (size_t i = 0; i < topic_rights_n; i++)
		if (str_eq(topic_rights[i].stage, "source") && topic_rights[i].publish)
			assert_string_equal(topic_rights[i].publish, "raw.{source}");
}

static void test_which_subjects_cover_which(void **state)
{
	(void)state;
	static const struct {
		const char *wide, *narrow;
		bool covers;
	} cases[] = {
		{"a.b", "a.b", true},    {"a.*", "a.b", true},    {"a.*", "a.*", true},
		{"a.>", "a.b", true},    {"a.>", "a.b.c", true},  {"a.>", "a.*", true},
		{">", "a", true},        {"a.>", "a.>", true},    {"a.*.c", "a.b.c", true},
		{"a.b", "a.c", false},   {"a.b", "a.*", false},   {"a.*", "a.>", false},
		{"a.*", "a.b.c", false}, {"a.*.c", "a.b", false}, {"a.>", "a", false},
		{"a.b", "a.bc", false},  {"a.bc", "a.b", false},  {"a.b.*", "a.*.b", false},
		{"a.*b", "a.cb", false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(subject_covers(cases[i].wide, cases[i].narrow), cases[i].covers);
}

/* How many of the patterns that stand in the text behind `before` cover the subject. */
static size_t count_covering(const char *text, const char *before, const char *subject)
{
	size_t n = 0;
	for (const char *p = strstr(text, before); p; p = strstr(p, before)) {
		p += strlen(before);
		auto_free char *found = mem_dup(p, strcspn(p, "\""));
		n += subject_covers(found, subject);
	}
	return n;
}

/* A message goes once from the account of who may say it to that of the streams. */
static void test_each_right_is_imported_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < topic_rights_n; i++) {
		const struct topic_right *r = &topic_rights[i];
		auto_buf account = {0}, offers = {0};
		if (!r->publish || str_eq(r->stage, "source"))
			continue;
		topic_print_nats_user(&account, r->stage, "user: x");
		topic_print_nats_begin(&offers);
		assert_int_equal(
			count_covering(account.data, "account: HEAL, subject: \"", r->publish), 1);
		assert_int_equal(count_covering(offers.data, "{ service: \"", r->publish), 1);
	}
}

static int run_nats_server(const char *config)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		static const char *const users[] = {"MONITOR", "REASONER", "EXECUTOR", "NOTIFIER",
						    "OPERATOR"};
		for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
			char name[64];
			snprintf(name, sizeof(name), "HEALBUS_%s_PASSWORD", users[i]);
			setenv(name, "secret-x", 1);
		}
		execlp("nats-server", "nats-server", "-t", "-c", config, (char *)NULL);
		_exit(127);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_nats_server_takes_the_users(void **state)
{
	(void)state;
	auto_buf b = {0};
	topic_print_nats_users(&b);
	char path[] = "/tmp/healbus-test-topic-XXXXXX";
	auto_fd int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, b.data, b.len), (ssize_t)b.len);
	int rc = run_nats_server(path);
	unlink(path);
	if (rc == 127)
		skip();
	assert_int_equal(rc, 0);
}

static void test_table_for_people(void **state)
{
	(void)state;
	auto_buf b = {0};
	topic_print(&b);
	for (size_t i = 0; i < topic_streams_n; i++)
		assert_non_null(strstr(b.data, topic_streams[i].name));
	for (size_t i = 0; i < topic_consumers_n; i++)
		assert_non_null(strstr(b.data, topic_consumers[i].filter));
	for (enum kind k = KIND_INCIDENT; k <= KIND_CONTROL; k++)
		assert_non_null(strstr(b.data, kind_name(k)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_long_subject_is_refused),
		cmocka_unit_test(test_written_subjects_parse_back),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_consumers_name_streams_that_exist),
		cmocka_unit_test(test_no_stage_administers),
		cmocka_unit_test(test_who_may_say_what),
		cmocka_unit_test(test_which_subjects_cover_which),
		cmocka_unit_test(test_each_right_is_imported_once),
		cmocka_unit_test(test_nats_server_takes_the_users),
		cmocka_unit_test(test_table_for_people),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
