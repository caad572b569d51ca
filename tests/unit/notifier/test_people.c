#include "common/mem.h"
#include "notifier/people.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

struct house {
	struct people people;
	struct approvers rules;
};

static int house_read(struct house *h, const char *yaml, struct why *why)
{
	struct yaml_doc doc = {0};
	*h = (struct house){0};
	assert_int_equal(yaml_parse_text("test", yaml, strlen(yaml), &doc, why), 0);
	int rc = people_parse(&h->people, yaml_get(doc.root, "people"), why);
	if (!rc)
		rc = approvers_parse(&h->rules, yaml_get(doc.root, "approvers"), why);
	if (!rc)
		rc = people_check(&h->people, &h->rules, why);
	yaml_release(&doc);
	return rc;
}

static void house_release(struct house *h)
{
	people_release(&h->people);
	approvers_release(&h->rules);
}

static const char house_yaml[] =
	"people:\n"
	"  - {name: ann, roles: [approver], groups: [db], slack: U1, github: AnnG, email: "
	"Ann@x.org}\n"
	"  - {name: bob, roles: [approver, operator], groups: [db, web], telegram: '7'}\n"
	"  - {name: eve, roles: [approver], discord: '42'}\n"
	"  - {name: ops, roles: [operator]}\n"
	"  - {name: root, roles: [admin]}\n"
	"  - {name: guest, roles: [viewer]}\n"
	"  - {name: none}\n"
	"approvers:\n"
	"  - {tools: ['drop_*'], people: ['group:db'], count: 2}\n"
	"  - {targets: ['web-?'], levels: [hard], people: [bob]}\n"
	"  - {tools: [restart], levels: [soft], people: [eve]}\n";

static void test_who_is_who(void **state)
{
	(void)state;
	struct house h;
	struct why why = {0};
	static const struct {
		const char *kind, *id, *name;
	} rows[] = {
		{"slack", "U1", "ann"},    {"slack", "u1", NULL},
		{"github", "anng", "ann"}, {"email", "ann@X.org", "ann"},
		{"telegram", "7", "bob"},  {"telegram", "77", NULL},
		{"discord", "42", "eve"},  {"discord", "7", NULL},
		{"name", "ann", "ann"},    {"name", "Ann", NULL},
		{"slack", "", NULL},       {"slack", NULL, NULL},
		{"fax", "1", NULL},        {"oidc", "ann", NULL},
		{"groups", "db", NULL},
	};
	assert_int_equal(house_read(&h, house_yaml, &why), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct person *p = person_by(&h.people, rows[i].kind, rows[i].id);
		assert_string_equal(p ? p->name : "", rows[i].name ? rows[i].name : "");
	}
	house_release(&h);
}

/* The matrix: a row a request, a letter a person: y may, n may not. Columns: ann bob eve ops root
 * guest none. */
static void test_rights_matrix(void **state)
{
	(void)state;
	struct house h;
	struct why why = {0};
	static const struct {
		const char *tool, *target;
		Healbus__Level level;
		const char *requested_by;
		const char *may;
		int64_t needed;
	} rows[] = {
		{"drop_table", "db-1", HEALBUS__LEVEL__LEVEL_HARD, NULL, "yynnnnn", 2},
		{"drop_table", "web-1", HEALBUS__LEVEL__LEVEL_SOFT, "", "yynnnnn", 2},
		{"drop_table", "db-1", HEALBUS__LEVEL__LEVEL_HARD, "bob", "ynnnnnn", 2},
		{"drop_table", "db-1", HEALBUS__LEVEL__LEVEL_HARD, "anng", "nynnnnn", 2},
		{"restart", "web-1", HEALBUS__LEVEL__LEVEL_HARD, NULL, "nynnnnn", 1},
		{"restart", "web-12", HEALBUS__LEVEL__LEVEL_HARD, NULL, "yyynnnn", 1},
		{"restart", "web-1", HEALBUS__LEVEL__LEVEL_SOFT, NULL, "nnynnnn", 1},
		{"restart", "web-1", HEALBUS__LEVEL__LEVEL_SOFT, "eve", "nnnnnnn", 1},
		{"reboot", "db-1", HEALBUS__LEVEL__LEVEL_SOFT, NULL, "yyynnnn", 1},
		{"reboot", NULL, HEALBUS__LEVEL__LEVEL_NONE, "stranger", "yyynnnn", 1},
	};
	assert_int_equal(house_read(&h, house_yaml, &why), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		Healbus__Step step = HEALBUS__STEP__INIT, *steps[] = {&step};
		Healbus__Plan plan = HEALBUS__PLAN__INIT;
		step.tool = (char *)rows[i].tool;
		step.target = (char *)rows[i].target;
		plan.steps = steps;
		plan.n_steps = 1;
		const struct request_facts facts = {rows[i].level, rows[i].requested_by, &plan};
		char may[8] = "";
		for (size_t k = 0; k < h.people.n; k++)
			may[k] = approver_check(&h.people, &h.rules, &h.people.items[k], &facts,
						&why)
					 ? 'n'
					 : 'y';
		assert_string_equal(may, rows[i].may);
		assert_int_equal(approvals_needed(&h.rules, &facts), rows[i].needed);
	}
	house_release(&h);
}

static void test_every_step_must_allow(void **state)
{
	(void)state;
	struct house h;
	struct why why = {0};
	Healbus__Step one = HEALBUS__STEP__INIT, two = HEALBUS__STEP__INIT, *steps[] = {&one, &two};
	Healbus__Plan plan = HEALBUS__PLAN__INIT;
	one.tool = (char *)"restart";
	one.target = (char *)"web-1";
	two.tool = (char *)"drop_table";
	two.target = (char *)"db-1";
	plan.steps = steps;
	plan.n_steps = 2;
	const struct request_facts facts = {HEALBUS__LEVEL__LEVEL_HARD, NULL, &plan};
	assert_int_equal(house_read(&h, house_yaml, &why), 0);
	assert_int_equal(approvals_needed(&h.rules, &facts), 2);
	const struct person *ann = person_by(&h.people, "name", "ann");
	const struct person *bob = person_by(&h.people, "name", "bob");
	assert_int_equal(approver_check(&h.people, &h.rules, ann, &facts, &why), ERR_DENIED);
	assert_string_equal(why.text, "ann may not approve restart: bob may");
	assert_int_equal(approver_check(&h.people, &h.rules, bob, &facts, &why), 0);
	house_release(&h);
}

static void test_roles(void **state)
{
	(void)state;
	struct house h;
	struct why why = {0};
	static const char *const want[] = {"viewer, approver",
					   "viewer, operator, approver",
					   "viewer, approver",
					   "viewer, operator",
					   "viewer, operator, admin",
					   "viewer",
					   ""};
	assert_int_equal(house_read(&h, house_yaml, &why), 0);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		auto_buf roles = {0};
		person_roles(&h.people.items[i], &roles);
		assert_string_equal(buf_str(&roles), want[i]);
	}
	house_release(&h);
}

static void test_what_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *yaml, *why;
	} rows[] = {
		{"people: {}", "must be a list"},
		{"people: [{roles: [viewer]}]", "name must be"},
		{"people: [{name: 'a b'}]", "name must be"},
		{"people: [{name: 'a,b'}]", "name must be"},
		{"people: [{name: ann, roles: [god]}]", "roles are"},
		{"people: [{name: ann, fax: 1}]", "fax"},
		{"people: [{name: ann}, {name: ann}]", "the same name"},
		{"people: [{name: a, slack: U1}, {name: b, slack: U1}]", "the same slack"},
		{"people: [{name: a, email: A@x}, {name: b, email: a@x}]", "the same email"},
		{"approvers: [{count: 1}]", "needs people"},
		{"people: [{name: a, roles: [approver]}]\napprovers: [{people: [b]}]", "nobody is"},
		{"people: [{name: a, roles: [approver]}]\napprovers: [{people: ['group:x']}]",
		 "nobody is"},
		{"people: [{name: a, roles: [approver]}]\napprovers: [{count: 2}]", "wants 2"},
		{"people: [{name: a, roles: [viewer]}]\napprovers: [{people: [a]}]", "wants 1"},
		{"people: [{name: a, roles: [approver]}]\napprovers: [{count: 3}]", "count"},
		{"people: [{name: a, roles: [approver]}]\napprovers: [{levels: [forbidden]}]",
		 "levels are"},
		{"people: [{name: a, roles: [approver]}]\napprovers: [{tool: [x]}]", "tool"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct house h;
		struct why why = {0};
		assert_int_equal(house_read(&h, rows[i].yaml, &why), ERR_CONFIG);
		if (!strstr(why.text, rows[i].why))
			fail_msg("%s: %s", rows[i].yaml, why.text);
		house_release(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_is_who),
		cmocka_unit_test(test_rights_matrix),
		cmocka_unit_test(test_every_step_must_allow),
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_what_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
