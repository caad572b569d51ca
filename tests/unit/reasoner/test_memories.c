/* Other memories: configuration, what is asked and told, and what becomes of bad answers. */
#include "tests/unit/http_peer.h"

#include "reasoner/memory/memory_worker.h"
#include "tests/unit/reasoner/memory_kit.h"

/* ---- configuration ---- */

static const struct {
	const char *yaml, *error; /* NULL: fine */
} configs[] = {
	{"", NULL},
	{"- {name: c, kind: chroma, url: 'http://h:8000/'}", NULL},
	{"- {name: o, kind: openmemory, url: 'https://h', user: u, token_file: t, timeout: 2s}",
	 NULL},
	{"{name: c}", "must be a list"},
	{"[text]", "must be a map"},
	{"- {kind: chroma, url: 'http://h'}", "name: must be"},
	{"- {name: c, kind: redis, url: 'http://h'}", "kind: must be chroma or openmemory"},
	{"- {name: c, kind: chroma}", "url: must be"},
	{"- {name: c, kind: chroma, url: 'ftp://h'}", "url: must be"},
	{"- {name: c, kind: chroma, url: 'http://h', tenant: 'a/../b'}", "tenant: must be"},
	{"- {name: c, kind: chroma, url: 'http://h', colour: red}", "colour"},
	{"- {name: c, kind: chroma, url: 'http://h', timeout: 1ms}", "timeout"},
	{"[{name: c, kind: chroma, url: 'http://h'}, {name: c, kind: chroma, url: 'http://h'}]",
	 "another store c"},
};

static void read_stores(const char *yaml, struct memory_stores *out, const char *error)
{
	struct yaml_doc doc;
	struct why why = {0};
	*out = (struct memory_stores){0};
	assert_int_equal(yaml_parse_text("t.yaml", yaml, strlen(yaml), &doc, &why), 0);
	int rc = memory_stores_parse(out, doc.root, &why);
	yaml_release(&doc);
	if (!error) {
		assert_int_equal(rc, 0);
		return;
	}
	assert_int_equal(rc, ERR_CONFIG);
	if (!strstr(why.text, error) || !strstr(why.text, "t.yaml:1: "))
		fail_msg("%s: %s", yaml, why.text);
}

static void test_configuration(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(configs); i++) {
		struct memory_stores s;
		read_stores(configs[i].yaml, &s, configs[i].error);
		memory_stores_release(&s);
		assert_null(s.items);
	}
}

/* ---- peers ---- */

static const char *answers[4]; /* to one request after the other; the last one for ever */
static size_t answered;

/* Takes a request with its body, and answers. */
static void serve_json(struct peer *p, int fd)
{
	while (take(p, fd, "}")) {
		auto_buf out = {0};
		const char *body = answers[MIN(answered, ARRAY_SIZE(answers) - 1)];
		int depth = 0;
		for (const char *s = strstr(p->got.data, "\r\n\r\n"); s && *s; s++)
			depth += (*s == '{') - (*s == '}');
		if (depth)
			continue;
		answered++;
		buf_printf(&out,
			   "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
			   body ? "200 OK" : "500 Bad", body ? strlen(body) : 0, body ? body : "");
		put(fd, buf_str(&out));
		return;
	}
}

struct rig {
	struct peer peer;
	struct memory_config config;
	struct arena arena;
	struct memories m;
};

static void rig_open(struct rig *r, const char *kind)
{
	memset(r, 0, sizeof(*r));
	answered = 0;
	peer_start(&r->peer, serve_json);
	auto_free char *yaml =
		mem_printf("- {name: other, kind: %s, url: 'http://127.0.0.1:%u', timeout: 5s}",
			   kind, r->peer.port);
	read_stores(yaml, &r->config.stores, NULL);
	r->m = (struct memories){.config = &r->config, .http = client, .arena = &r->arena};
}

/* What was asked is kept in peer.got until then. */
static void rig_stop(struct rig *r)
{
	http_client_free(client);
	assert_int_equal(http_client_new(&client), 0);
	r->m.http = client;
	peer_stop(&r->peer);
}

static void rig_close(struct rig *r)
{
	buf_release(&r->peer.got);
	memory_stores_release(&r->config.stores);
	arena_release(&r->arena);
}

static void ask(struct rig *r, Healbus__Recalled ***io, size_t *io_n)
{
	struct memory_query q = {.text = "connection refused", .k = 3, .least = 0.1};
	memories_recall(&r->m, &q, io, io_n);
}

#define OURS(id, what)                                                                             \
	"incident: " id "\\ntype: db\\nspecialist: bolt\\nhealed: yes\\ntook_ms: 5000\\n\\n" what  \
	"\\n\\nlog\\tx"

/* ---- chroma ---- */

static void test_chroma(void **state)
{
	(void)state;
	struct rig r;
	Healbus__Recalled **list = NULL;
	size_t n = 0;
	rig_open(&r, "chroma");
	answers[0] = "{\"id\":\"3fa8-1\"}";
	answers[1] = "{\"ids\":[[\"a\",\"b\"]],\"documents\":[[\"" OURS(
		"i1", "restarted it") "\",\"" OURS("i2", "nothing") "\"]],\"distances\":[[0.4,1.99]"
								    "],\"include\":[]}";
	ask(&r, &list, &n);
	rig_stop(&r);
	assert_int_equal(r.m.n_missing, 0);
	assert_int_equal(r.m.n_missing, 0);
	assert_int_equal(n, 1); /* the other is not alike enough */
	assert_string_equal(list[0]->incident, "i1");
	assert_string_equal(list[0]->failure_type, "db");
	assert_string_equal(list[0]->what, "restarted it");
	assert_true(list[0]->healed && list[0]->took_ms == 5000 && list[0]->n_steps == 0);
	assert_true(list[0]->similarity > 0.79 && list[0]->similarity < 0.81);
	assert_non_null(strstr(r.peer.got.data, "POST /api/v2/tenants/default_tenant/databases/"
						"default_database/collections HTTP"));
	assert_non_null(strstr(r.peer.got.data, "/collections/3fa8-1/query HTTP"));
	rig_close(&r);
}

/* Ours stays, theirs comes beside it, in order, and never the asked one itself. */
static void test_merge(void **state)
{
	(void)state;
	struct rig r;
	Healbus__Recalled own[2], *mine[] = {&own[0], &own[1]}, **list = mine;
	size_t n = 2;
	healbus__recalled__init(&own[0]);
	healbus__recalled__init(&own[1]);
	own[0].incident = kit_text("i1");
	SET(&own[0], similarity, 0.7);
	own[1].incident = kit_text("i9");
	SET(&own[1], similarity, 0.3);
	rig_open(&r, "openmemory");
	answers[0] = "{\"matches\":[{\"content\":\"" OURS(
		"i1", "x") "\",\"score\":0.99},"
			   "{\"content\":\"" OURS(
				   "i2",
				   "x") "\",\"score\":0.5},"
					"{\"content\":\"" OURS(
						"i3",
						"x") "\",\"score\":7},"
						     "{\"content\":\"not "
						     "ours\",\"score\":0.9},{\"content\":5},{}]}";
	ask(&r, &list, &n);
	rig_stop(&r);
	assert_int_equal(n, 3);
	assert_string_equal(list[0]->incident, "i3");
	assert_true(list[0]->similarity <= 1);
	assert_ptr_equal(list[1], &own[0]);
	assert_string_equal(list[2]->incident, "i2");
	assert_non_null(strstr(r.peer.got.data, "POST /memory/query HTTP"));
	rig_close(&r);
}

static const char *const bad[] = {
	NULL, "", "{", "[]", "{}", "{\"id\":\"../../x\"}", "{\"id\":5}", "{\"matches\":{}}",
};

/* Garbage is nothing; what fails is said, and is no error. */
static void test_bad_answers(void **state)
{
	(void)state;
	static const char *const kinds[] = {"chroma", "openmemory"};
	for (size_t i = 0; i < ARRAY_SIZE(bad) * ARRAY_SIZE(kinds); i++) {
		struct rig r;
		Healbus__Recalled **list = NULL;
		size_t n = 0;
		rig_open(&r, kinds[i % ARRAY_SIZE(kinds)]);
		for (size_t j = 0; j < ARRAY_SIZE(answers); j++)
			answers[j] = bad[i / ARRAY_SIZE(kinds)];
		ask(&r, &list, &n);
		rig_stop(&r);
		assert_int_equal(n, 0);
		if (!answers[0] || i % ARRAY_SIZE(kinds) == 0) {
			assert_int_equal(r.m.n_missing, 1);
			assert_true(str_starts(r.m.missing[0], "memory other: "));
		}
		rig_close(&r);
	}
	answers[0] = answers[1] = answers[2] = answers[3] = NULL;
}

static void test_nobody_there(void **state)
{
	(void)state;
	struct rig r;
	Healbus__Recalled **list = NULL;
	size_t n = 0;
	rig_open(&r, "chroma");
	peer_stop(&r.peer);
	ask(&r, &list, &n);
	assert_int_equal(n, 0);
	assert_int_equal(r.m.n_missing, 1);
	rig_close(&r);
}

/* What is told holds no secrets. */
static void test_told(void **state)
{
	(void)state;
	struct rig r;
	struct kit k;
	struct kit_case c;
	struct why why = {0};
	Healbus__ModelExchange *m;
	kit_open(&k);
	kit_case(&c, "i1", "db");
	kit_line(&c, "connection refused");
	kit_step(&c, "service_restart", "Used ghp_0123456789abcdefghijABCDEFGHIJ012345.");
	kit_note(&k, &c, true, 0);
	rig_open(&r, "openmemory");
	answers[0] = answers[1] = answers[2] = answers[3] = "{\"id\":\"m1\"}";
	struct store_txn *txn = store_begin_read(k.store);
	assert_int_equal(memory_of(txn, "i1", &r.arena, &m), 0);
	store_end(txn);
	assert_int_equal(memories_put(&r.m, &r.config.stores.items[0], m, &why), 0);
	rig_stop(&r);
	assert_non_null(strstr(r.peer.got.data, "POST /memory/add HTTP"));
	assert_non_null(strstr(r.peer.got.data, "service_restart(octo_repo): Used [REDACTED:"));
	assert_non_null(strstr(r.peer.got.data, "\\n\\ntype\\tdb"));
	assert_null(strstr(r.peer.got.data, "ghp_"));
	rig_close(&r);
	kit_close(&k);
}

/* Vectors of an API: taken as they are, but for their length. */
static void test_embeddings(void **state)
{
	(void)state;
	struct rig r;
	struct memory_vector v;
	struct why why = {0};
	rig_open(&r, "openmemory");
	r.config.embeddings =
		(struct memory_embeddings){.url = mem_printf("http://127.0.0.1:%u/v1", r.peer.port),
					   .model = kit_text("m"),
					   .timeout_ms = 5000};
	answers[0] = "{\"data\":[{\"embedding\":[3,4]}]}";
	answers[1] = answers[2] = answers[3] = "{\"data\":[{\"embedding\":[3,\"x\"]}]}";
	assert_int_equal(memory_embed(&r.m, "log\tx\n", &v, &why), 0);
	assert_int_equal(v.n, 2);
	assert_true(v.v[0] > 0.59F && v.v[0] < 0.61F && v.v[1] > 0.79F);
	rig_stop(&r);
	assert_non_null(strstr(r.peer.got.data, "POST /v1/embeddings HTTP"));
	assert_int_equal(memory_embed(&r.m, "log\tx\n", &v, &why), ERR_UNAVAILABLE);
	free(r.config.embeddings.url);
	rig_close(&r);
}

/* Without one: 512 numbers of length 1, the same each time. */
static void test_built_in_vectors(void **state)
{
	(void)state;
	struct rig r;
	struct memory_vector a, b;
	struct why why = {0};
	double square = 0;
	memset(&r, 0, sizeof(r));
	r.m = (struct memories){.config = &r.config, .arena = &r.arena};
	assert_int_equal(memory_embed(&r.m, "log\tconnection refused\n", &a, &why), 0);
	assert_int_equal(memory_embed(&r.m, "log\tconnection refused\n", &b, &why), 0);
	assert_int_equal(a.n, VECTOR_DIM);
	assert_memory_equal(a.v, b.v, a.n * sizeof(*a.v));
	for (size_t i = 0; i < a.n; i++)
		square += (double)a.v[i] * a.v[i];
	assert_true(square > 0.999 && square < 1.001);
	arena_release(&r.arena);
}

/* What who diagnoses gets: ours, theirs, what was missing, and what was learned. */
static void test_worker(void **state)
{
	(void)state;
	struct rig r;
	struct kit k;
	struct kit_case c;
	char before[] = "loki: timed out", *missing[] = {before};
	kit_open(&k);
	kit_case(&c, "i1", "db");
	kit_line(&c, "connection refused by database");
	kit_step(&c, "service_restart", "It hung.");
	kit_note(&k, &c, true, 0);
	rig_open(&r, "openmemory");
	answers[0] = answers[1] = NULL;
	r.config.recall = 2;
	struct memory_worker w = {.store = k.store, .config = &r.config, .http = client};
	kit_case(&c, "asked", "db");
	kit_line(&c, "connection refused by database");
	c.diagnosis.missing = missing;
	c.diagnosis.n_missing = 1;
	assert_int_equal(memory_remind(&w, &c.incident, &r.arena, &c.diagnosis), 0);
	assert_int_equal(c.diagnosis.n_recalled, 1);
	assert_string_equal(c.diagnosis.recalled[0]->incident, "i1");
	assert_int_equal(c.diagnosis.n_missing, 2);
	assert_string_equal(c.diagnosis.missing[0], "loki: timed out");
	assert_true(str_starts(c.diagnosis.missing[1], "memory other: "));
	r.config.recall = 0;
	c.diagnosis.n_recalled = 0;
	assert_int_equal(memory_remind(&w, &c.incident, &r.arena, &c.diagnosis), 0);
	assert_int_equal(c.diagnosis.n_recalled, 0);
	memory_index_release(&w.index);
	rig_stop(&r);
	rig_close(&r);
	kit_close(&k);
}

static void test_learned(void **state)
{
	(void)state;
	struct kit k;
	struct memory_config config = {0};
	struct route_record *list;
	size_t n;
	kit_open(&k);
	struct store_txn *txn = store_begin_write(k.store);
	struct statistic_key rex = {"rust-test", "rex", ""}, runbook = {NULL, NULL, ""},
			     step = {"rust-test", "rex", "code_fix"};
	assert_int_equal(statistics_note(txn, &rex, true), 0);
	assert_int_equal(statistics_note(txn, &rex, false), 0);
	assert_int_equal(statistics_note(txn, &runbook, true), 0);
	assert_int_equal(statistics_note(txn, &step, true), 0);
	assert_int_equal(store_commit(txn), 0);
	struct memory_worker w = {.store = k.store, .config = &config};
	assert_int_equal(memory_learned(&w, &k.arena, &list, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(list[0].specialist, "rex");
	assert_string_equal(list[0].failure_type, "rust-test");
	assert_int_equal(list[0].successes, 1);
	assert_int_equal(list[0].failures, 1);
	kit_close(&k);
}

#define T(f) cmocka_unit_test_setup_teardown(f, client_open, client_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_configuration),
		T(test_chroma),
		T(test_merge),
		T(test_bad_answers),
		T(test_nobody_there),
		T(test_told),
		T(test_embeddings),
		cmocka_unit_test(test_built_in_vectors),
		T(test_worker),
		cmocka_unit_test(test_learned),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
