#include "common/clock.h"
#include "monitor/checks.h"
#include "monitor/config.h"
#include "monitor/ingress.h"

#include <setjmp.h>
#include <cmocka.h>

static struct check check_make(int64_t failures, int64_t successes)
{
	static char name[] = "page", service[] = "web";

	return (struct check){.name = name,
			      .service = service,
			      .kind = &check_http,
			      .failures = failures,
			      .successes = successes,
			      .repeat_ms = 1000,
			      .severity = HEALBUS__SEVERITY__SEVERITY_ERROR};
}

/* '.' well, 'x' failed; the answer says what was published: '-' nothing, 'F' firing, 'R' resolved.
 */
static void test_judging(void **state)
{
	static const struct {
		int64_t failures, successes;
		const char *looks, *published;
	} cases[] = {
		{1, 1, "..x.x", "R-FRF"},   {2, 1, ".x.xx.", "R---FR"}, {1, 2, "x.x..", "F---R"},
		{3, 1, "xx.xxx", "--R--F"}, {1, 1, "xxxxx", "F---F"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct check c = check_make(cases[i].failures, cases[i].successes);
		struct check_state s = {0};

		for (size_t k = 0; cases[i].looks[k]; k++) {
			struct check_result r = {.ok = cases[i].looks[k] == '.'};
			int64_t now = (int64_t)k * 250;
			bool said = check_judge(&s, &c, &r, 1000000 + now, now);
			char got = (char)(!said ? '-' : s.firing ? 'F' : 'R');

			if (got != cases[i].published[k])
				fail_msg("case %zu, look %zu: %c", i, k, got);
		}
	}
}

static void test_event(void **state)
{
	struct check c = check_make(1, 1);
	char *names[] = {(char[]){"team"}, (char[]){"check"}};
	char *values[] = {(char[]){"ops"}, (char[]){"forged"}};
	struct check_state s = {.firing = true, .starts_at_ms = 5, .detail = "it hurts"};
	struct arena arena = {0};
	struct why why = {0};
	const Healbus__Event *e, *again;

	(void)state;
	c.label_names = names;
	c.label_values = values;
	c.n_labels = 2;
	e = check_event(&s, &c, &arena);
	assert_int_equal(wire_check(KIND_EVENT, &e->base, &why), 0);
	assert_string_equal(label_get(e->labels, e->n_labels, "team"), "ops");
	assert_string_equal(label_get(e->labels, e->n_labels, "check"), "page");
	assert_string_equal(e->summary, "it hurts");
	s.firing = false;
	again = check_event(&s, &c, &arena);
	assert_string_equal(e->fingerprint, again->fingerprint);
	assert_string_not_equal(e->id, again->id);
	arena_release(&arena);
}

static void test_configuration(void **state)
{
	static const struct {
		const char *yaml;
		const char *says; /* NULL: fine */
	} cases[] = {
		{"[{name: a, type: tcp, host: h, port: 1}]", NULL},
		{"[{name: a, type: tls, host: h}]", NULL},
		{"[{name: a, type: http, url: 'http://h/', status: 204, severity: info}]", NULL},
		{"[{name: a, type: command, command: [/bin/true], labels: {x: y}}]", NULL},
		{"[{name: a, type: udp}]", "udp"},
		{"[{name: a}]", "type"},
		{"[{type: tcp, host: h, port: 1}]", "name"},
		{"[{name: 'a b', type: tcp, host: h, port: 1}]", "name"},
		{"[{name: a, type: tcp, host: h}]", "port"},
		{"[{name: a, type: tcp, host: h, port: 70000}]", "port"},
		{"[{name: a, type: http, url: 'ftp://h'}]", "url"},
		{"[{name: a, type: http, url: 'http://h', host: h}]", "host"},
		{"[{name: a, type: command, command: [true]}]", "absolute"},
		{"[{name: a, type: command, command: 'rm -rf /'}]", "list"},
		{"[{name: a, type: tls, host: h, interval: 1ms}]", "interval"},
		{"[{name: a, type: tls, host: h, severity: awful}]", "awful"},
		{"[{name: a, type: tls, host: h}, {name: a, type: tls, host: h}]", "twice"},
		{"{a: 1}", "list"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct yaml_doc doc = {0};
		struct checks checks = {0};
		struct why why = {0};
		int rc = yaml_parse_text("t", cases[i].yaml, strlen(cases[i].yaml), &doc, &why);

		assert_int_equal(rc, 0);
		rc = checks_parse(&checks, doc.root, &why);
		if (cases[i].says ? !rc || !strstr(why.text, cases[i].says) : rc)
			fail_msg("case %zu: %d %s", i, rc, why.text);
		checks_release(&checks);
		yaml_release(&doc);
	}
}

static void test_commands(void **state)
{
	static const struct {
		const char *argv[4];
		bool ok;
		const char *says;
	} cases[] = {
		{{"/bin/true"}, true, "exit status 0"},
		{{"/bin/sh", "-c", "echo broken; exit 3"}, false, "exit status 3: broken"},
		{{"/bin/sh", "-c", "kill -9 $$"}, false, "signal 9"},
		{{"/bin/sh", "-c", "sleep 600 & sleep 600"}, false, "killed after 300 ms"},
		{{"/nonexistent"}, false, "No such file"},
		{{"/bin/sh", "-c", "yes | head -c 1000000"}, true, "exit status 0"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct check c = {.timeout_ms = i == 3 ? 300 : 10000};
		struct check_result r = {0};

		for (size_t k = 0; k < ARRAY_SIZE(cases[i].argv) && cases[i].argv[k]; k++)
			c.argv[k] = (char *)(uintptr_t)cases[i].argv[k];
		check_command.run(&c, NULL, &r);
		if (r.ok != cases[i].ok || !strstr(r.detail, cases[i].says))
			fail_msg("case %zu: %s", i, r.detail);
	}
}

static void test_rate(void **state)
{
	_Atomic int64_t next = 0;
	int64_t now = INT64_C(1000000000000);
	int passed = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		passed += rate_allow(&next, 10, 5, now);
	assert_int_equal(passed, 6); /* the burst and the one that is due */
	passed = 0;
	for (int i = 0; i < 1000; i++, now += 10000000) /* ten seconds */
		passed += rate_allow(&next, 10, 5, now);
	assert_in_range(passed, 98, 101);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judging),       cmocka_unit_test(test_event),
		cmocka_unit_test(test_configuration), cmocka_unit_test(test_commands),
		cmocka_unit_test(test_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
