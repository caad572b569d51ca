#include "executor/broker/judge.h"

#include <strings.h>

enum {
	SEGMENTS_MAX = 3,
	LIST_MAX = 1000,
	NUMBER_DIGITS_MAX = 10,
	CONTAINER_TEXT = 40, /* of a name in a reason */
};

#define BIT(n) (1U << (n))
#define GET BIT(0)
#define HEAD BIT(1)
#define POST BIT(2)

/* ---- what is allowed ---- */

static const struct route {
	const char *name;
	const char *segments[SEGMENTS_MAX]; /* "*": the container */
	enum broker_action action;
	unsigned methods;
	unsigned params;
} routes[] = {
	{"ping", {"_ping"}, BROKER_PING, GET | HEAD, 0},
	{"version", {"version"}, BROKER_VERSION, GET, 0},
	{"list", {"containers", "json"}, BROKER_LIST, GET, BIT(BROKER_ALL) | BIT(BROKER_LIMIT)},
	{"inspect", {"containers", "*", "json"}, BROKER_INSPECT, GET, 0},
	{"logs",
	 {"containers", "*", "logs"},
	 BROKER_LOGS,
	 GET,
	 BIT(BROKER_STDOUT) | BIT(BROKER_STDERR) | BIT(BROKER_TIMESTAMPS) | BIT(BROKER_TAIL) |
		 BIT(BROKER_SINCE) | BIT(BROKER_UNTIL)},
	{"restart", {"containers", "*", "restart"}, BROKER_RESTART, POST, BIT(BROKER_T)},
	{"start", {"containers", "*", "start"}, BROKER_START, POST, 0},
	{"stop", {"containers", "*", "stop"}, BROKER_STOP, POST, BIT(BROKER_T)},
};

static const char allowed_text[] =
	"allowed are GET /_ping, /version, /containers/json, /containers/ID/json, "
	"/containers/ID/logs and POST /containers/ID/restart, start, stop";

static const char sandbox_text[] =
	"whoever may do that is root on the host; cells of the executor have an Engine of their "
	"own (docker.socket in executor.yaml)";

/* What people try first, and why not: by any segment of the path. */
static const struct {
	const char *segment, *why;
} lessons[] = {
	{"create", sandbox_text},
	{"exec", sandbox_text},
	{"build", sandbox_text},
	{"attach", "a terminal in a container is beyond every rule; read its logs instead"},
	{"archive", "files in and out of containers are not the broker's"},
	{"export", "files in and out of containers are not the broker's"},
	{"copy", "files in and out of containers are not the broker's"},
	{"update", "limits of a container are set where it is deployed"},
	{"rename", "a container is renamed where it is deployed"},
	{"commit", "images are made where they are deployed from"},
	{"kill", "stop gives a container time to end, and kills it after t seconds"},
	{"prune", "what is deleted cannot be undone: do it on the host"},
	{"images", "images are the host's own affair"},
	{"volumes", "volumes are the host's own affair"},
	{"networks", "networks are the host's own affair"},
	{"swarm", "a swarm is not steered through the broker"},
	{"services", "a swarm is not steered through the broker"},
	{"secrets", "a swarm is not steered through the broker"},
	{"plugins", "a plugin is root on the host"},
	{"events", "answers without end are not forwarded; list or inspect instead"},
	{"stats", "answers without end are not forwarded; a monitor measures containers"},
};

const char *broker_action_name(enum broker_action action)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		if (routes[i].action == action)
			return routes[i].name;
	}
	return "?";
}

bool broker_acts(enum broker_action action)
{
	return action >= BROKER_RESTART;
}

bool broker_names_container(enum broker_action action)
{
	return action >= BROKER_INSPECT;
}

int64_t broker_patience_s(const struct broker_call *call)
{
	return call->params[BROKER_T] > 0 ? call->params[BROKER_T] : 0;
}

/* ---- headers ---- */

static bool has_word(const char *value, const char *word)
{
	size_t len = strlen(word);

	for (; *value; value++) {
		if (strncasecmp(value, word, len) == 0)
			return true;
	}
	return false;
}

static int check_headers(const struct broker_ask *ask, struct why *out_why)
{
	static const char *const refused[] = {
		"Upgrade", "HTTP2-Settings", "Transfer-Encoding",     "TE",
		"Trailer", "Expect",         "X-HTTP-Method-Override"};

	for (size_t i = 0; i < ask->n_headers; i++) {
		const struct broker_header *h = &ask->headers[i];

		for (size_t k = 0; k < ARRAY_SIZE(refused); k++) {
			if (strcasecmp(h->name, refused[k]) == 0)
				return why_set(out_why, ERR_DENIED,
					       "header %s: nothing that is allowed needs it",
					       refused[k]);
		}
		if (strcasecmp(h->name, "Connection") == 0 && has_word(h->value, "upgrade"))
			return why_set(out_why, ERR_DENIED, "a connection stays HTTP here");
		if (strcasecmp(h->name, "Content-Length") == 0 && !str_eq(h->value, "0"))
			return why_set(out_why, ERR_DENIED,
				       "a body: nothing that is allowed has one");
	}
	return ask->body_len
		       ? why_set(out_why, ERR_DENIED, "a body: nothing that is allowed has one")
		       : 0;
}

static int read_method(const char *text, unsigned *out, struct why *out_why)
{
	static const struct {
		const char *name;
		unsigned bit;
	} methods[] = {{"GET", GET}, {"HEAD", HEAD}, {"POST", POST}};

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		if (!str_eq(methods[i].name, text))
			continue;
		*out = methods[i].bit;
		return 0;
	}
	return why_set(out_why, ERR_DENIED, "method %.20s: only GET and POST are forwarded", text);
}

/* ---- the path ---- */

struct path {
	char text[BROKER_TARGET_MAX + 1];
	char *segments[SEGMENTS_MAX + 1];
	size_t n;    /* SEGMENTS_MAX + 1: that many or more */
	char *query; /* NULL: none */
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int check_bytes(const char *target, struct why *out_why)
{
	if (target[0] != '/' || strlen(target) > BROKER_TARGET_MAX)
		return why_set(out_why, ERR_DENIED,
			       "target: not a path of at most %d bytes that begins with /",
			       BROKER_TARGET_MAX);
	if (strchr(target, '%'))
		return why_set(out_why, ERR_DENIED,
			       "target: an escape (%%); nothing that is allowed needs one");
	for (const char *p = target; *p; p++) {
		if (!is_letter(*p) && !is_digit(*p) && !strchr("/_.-?&=", *p))
			return why_set(out_why, ERR_DENIED,
				       "target: a byte besides letters, digits and /_.-?&=");
	}
	return 0;
}

/* "v1.41": taken off the front. */
static void take_version(struct path *p, char out[static BROKER_VERSION_MAX])
{
	const char *s = p->n > 1 ? p->segments[0] : "";

	if (strncmp(s, "v1.", 3) != 0 || !is_digit(s[3]) || !is_digit(s[4]) || s[5])
		return;
	snprintf(out, BROKER_VERSION_MAX, "/%s", s);
	memmove(p->segments, p->segments + 1, sizeof(p->segments) - sizeof(*p->segments));
	p->n--;
}

static int split(const char *target, struct path *p, struct why *out_why)
{
	char *rest = p->text + 1;

	snprintf(p->text, sizeof(p->text), "%s", target);
	p->query = strchr(p->text, '?');
	if (p->query)
		*p->query++ = 0;
	for (char *s; (s = strsep(&rest, "/"));) {
		if (*s == 0 || str_eq(s, ".") || str_eq(s, ".."))
			return why_set(out_why, ERR_DENIED,
				       "path: a segment that is empty, \".\" or \"..\"");
		/* With a version in front there is one more. */
		if (p->n > SEGMENTS_MAX)
			return why_set(out_why, ERR_DENIED, "path: too deep; %s", allowed_text);
		p->segments[p->n++] = s;
	}
	return 0;
}

static bool fits(const struct route *r, const struct path *p)
{
	for (size_t i = 0; i < SEGMENTS_MAX; i++) {
		const char *want = r->segments[i];

		if (!want || i >= p->n)
			return !want && i == p->n;
		if (!str_eq(want, "*") && !str_eq(want, p->segments[i]))
			return false;
	}
	return p->n == SEGMENTS_MAX;
}

static int lesson(const struct path *p, struct why *out_why)
{
	for (size_t i = 0; i < ARRAY_SIZE(lessons); i++) {
		for (size_t k = 0; k < p->n; k++) {
			if (strcasecmp(p->segments[k], lessons[i].segment) == 0)
				return why_set(out_why, ERR_DENIED, "%s: %s", lessons[i].segment,
					       lessons[i].why);
		}
	}
	return why_set(out_why, ERR_DENIED, "this is not forwarded; %s", allowed_text);
}

static int take_container(const char *text, struct broker_call *out, struct why *out_why)
{
	size_t len = strlen(text);
	bool ok = is_letter(text[0]) || is_digit(text[0]);

	for (size_t i = 0; ok && i < len; i++)
		ok = is_letter(text[i]) || is_digit(text[i]) || strchr("_.-", text[i]);
	if (!ok || len > BROKER_CONTAINER_MAX)
		return why_set(out_why, ERR_DENIED,
			       "container \"%.*s\": a name or id is a letter or digit, then "
			       "letters, digits and _.-, at most %d",
			       CONTAINER_TEXT, text, BROKER_CONTAINER_MAX);
	snprintf(out->container, sizeof(out->container), "%s", text);
	return 0;
}

static const struct route *find_route(const struct path *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		if (fits(&routes[i], p))
			return &routes[i];
	}
	return NULL;
}

/* ---- the query ---- */

static const struct {
	const char *name;
	int64_t max; /* 0: bounds say it */
} params[BROKER_PARAMS] = {
	[BROKER_T] = {"t", 0},
	[BROKER_ALL] = {"all", 1},
	[BROKER_LIMIT] = {"limit", LIST_MAX},
	[BROKER_STDOUT] = {"stdout", 1},
	[BROKER_STDERR] = {"stderr", 1},
	[BROKER_TIMESTAMPS] = {"timestamps", 1},
	[BROKER_TAIL] = {"tail", 0},
	[BROKER_SINCE] = {"since", 9999999999},
	[BROKER_UNTIL] = {"until", 9999999999},
};

static int64_t param_max(const struct broker_bounds *b, enum broker_param param)
{
	if (params[param].max)
		return params[param].max;
	return param == BROKER_T ? b->stop_max_s : b->tail_max;
}

/* -1: no number from 0 to max. Docker's clients write a yes as 1 or true. */
static int64_t read_value(const char *text, int64_t max)
{
	size_t digits = strspn(text, "0123456789");

	if (max == 1 && (str_eq(text, "true") || str_eq(text, "false")))
		return str_eq(text, "true");
	if (digits == 0 || digits > NUMBER_DIGITS_MAX || text[digits])
		return -1;
	int64_t n = strtoll(text, NULL, 10);
	return n <= max ? n : -1;
}

static int find_param(const struct route *r, const char *name, enum broker_param *out,
		      struct why *out_why)
{
	auto_buf known = {0};

	for (size_t i = 0; i < BROKER_PARAMS; i++) {
		if (!(r->params & BIT(i)))
			continue;
		*out = (enum broker_param)i;
		if (str_eq(params[i].name, name))
			return 0;
		buf_printf(&known, "%s%s", known.len ? ", " : "", params[i].name);
	}
	return why_set(out_why, ERR_DENIED, "parameter \"%.20s\": %s takes %s", name, r->name,
		       known.len ? buf_str(&known) : "none");
}

static int take_param(const struct broker_bounds *b, const struct route *r, char *text,
		      struct broker_call *out, struct why *out_why)
{
	enum broker_param param = BROKER_T;
	char *value = strchr(text, '=');

	if (value)
		*value++ = 0;
	int rc = find_param(r, text, &param, out_why);
	if (rc)
		return rc;
	if (out->params[param] >= 0)
		return why_set(out_why, ERR_DENIED, "parameter %s: given twice", text);
	int64_t max = param_max(b, param);
	int64_t n = value ? read_value(value, max) : -1;
	if (n < 0)
		return why_set(out_why, ERR_DENIED,
			       "parameter %s: want a whole number from 0 to %" PRId64, text, max);
	out->params[param] = n;
	return 0;
}

static int take_query(const struct broker_bounds *b, const struct route *r, char *query,
		      struct broker_call *out, struct why *out_why)
{
	int rc = 0;

	for (char *part; !rc && (part = strsep(&query, "&"));)
		rc = take_param(b, r, part, out, out_why);
	return rc;
}

static void fill_defaults(const struct broker_bounds *b, const struct route *r,
			  struct broker_call *out)
{
	int64_t *p = out->params;

	if (r->params & BIT(BROKER_T) && p[BROKER_T] < 0)
		p[BROKER_T] = MIN(b->stop_default_s, b->stop_max_s);
	if (r->action == BROKER_LIST && p[BROKER_LIMIT] <= 0)
		p[BROKER_LIMIT] = LIST_MAX;
	if (r->action != BROKER_LOGS)
		return;
	if (p[BROKER_TAIL] < 0)
		p[BROKER_TAIL] = MIN(b->tail_default, b->tail_max);
	if (p[BROKER_STDOUT] <= 0 && p[BROKER_STDERR] <= 0)
		p[BROKER_STDOUT] = p[BROKER_STDERR] = 1;
}

/* ---- all of it ---- */

int broker_judge(const struct broker_bounds *bounds, const struct broker_ask *ask,
		 struct broker_call *out, struct why *out_why)
{
	struct broker_call call = {0};
	struct path p = {0};
	unsigned method = 0;

	int rc = read_method(ask->method, &method, out_why);
	if (!rc)
		rc = check_bytes(ask->target, out_why);
	if (!rc)
		rc = split(ask->target, &p, out_why);
	if (rc)
		return rc;
	take_version(&p, call.version);
	const struct route *r = find_route(&p);
	if (!r)
		return lesson(&p, out_why);
	if (!(r->methods & method))
		return why_set(out_why, ERR_DENIED, "%s is asked with %s, not with %.20s", r->name,
			       r->methods & POST ? "POST" : "GET", ask->method);
	call.action = r->action;
	call.head = method == HEAD;
	for (size_t i = 0; i < BROKER_PARAMS; i++)
		call.params[i] = -1;
	rc = check_headers(ask, out_why);
	if (!rc && broker_names_container(r->action))
		rc = take_container(p.segments[1], &call, out_why);
	if (!rc && p.query)
		rc = take_query(bounds, r, p.query, &call, out_why);
	if (rc)
		return rc;
	fill_defaults(bounds, r, &call);
	*out = call;
	return 0;
}

/* ---- what is sent ---- */

static void add_escaped(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (is_letter(*text) || is_digit(*text) || strchr("_.-", *text))
			buf_add_char(out, *text);
		else
			buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
	}
}

static void add_filter(struct buf *out, const char *label)
{
	auto_buf json = {0};

	buf_add_str(&json, "{\"label\":[");
	buf_add_json(&json, label, strlen(label));
	buf_add_str(&json, "]}");
	buf_add_str(out, "filters=");
	add_escaped(out, buf_str(&json));
}

void broker_path(const struct broker_call *call, const char *container, const char *label,
		 struct buf *out)
{
	const struct route *r = &routes[0];
	char separator = '?';

	while (r->action != call->action)
		r++;
	buf_add_str(out, call->version);
	for (size_t i = 0; i < SEGMENTS_MAX && r->segments[i]; i++)
		buf_printf(out, "/%s", str_eq(r->segments[i], "*") ? container : r->segments[i]);
	for (size_t i = 0; i < BROKER_PARAMS; i++) {
		if (!(r->params & BIT(i)) || call->params[i] < 0)
			continue;
		buf_printf(out, "%c%s=%" PRId64, separator, params[i].name, call->params[i]);
		separator = '&';
	}
	if (call->action != BROKER_LIST)
		return;
	buf_add_char(out, separator);
	add_filter(out, label);
}
