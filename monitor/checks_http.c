#include "common/http_client.h"
#include "monitor/checks.h"

static const char *const keys[] = {"url", "status", "contains", "ca_file", NULL};

static int parse(struct check *c, const struct yaml_node *node, struct why *out_why)
{
	if (!c->url || (!str_starts(c->url, "http://") && !str_starts(c->url, "https://")))
		return yaml_error(node, out_why, "url: must start with http:// or https://");
	return 0;
}

static void judge(const struct check *c, const struct http_answer *a, struct check_result *out)
{
	bool expected = c->status ? a->status == c->status : a->status >= 200 && a->status < 400;

	snprintf(out->detail, sizeof(out->detail), "%s answers %ld in %" PRId64 " ms", c->url,
		 a->status, a->took_ms);
	out->ok = expected;
	if (!expected || !c->contains)
		return;
	out->ok =
		a->body.len && memmem(a->body.data, a->body.len, c->contains, strlen(c->contains));
	if (!out->ok)
		snprintf(out->detail, sizeof(out->detail), "%s answers %ld without \"%.100s\"",
			 c->url, a->status, c->contains);
}

static void run(const struct check *c, struct check_tools *tools, struct check_result *out)
{
	struct http_call call = {.url = c->url, .timeout_ms = c->timeout_ms, .ca_file = c->ca_file};
	struct http_answer answer = {0};
	struct why why = {0};
	int rc = tools->http ? 0 : http_client_new(&tools->http);

	if (!rc)
		rc = http_client_call(tools->http, &call, &answer, &why);
	if (rc)
		snprintf(out->detail, sizeof(out->detail), "%s: %s: %.300s", c->url, err_name(rc),
			 why.text);
	else
		judge(c, &answer, out);
	http_answer_release(&answer);
}

const struct check_kind check_http = {.name = "http", .keys = keys, .parse = parse, .run = run};
