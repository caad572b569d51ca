/* Values of a plan against a tool's schema: two bytes choose parameter and kind of value, the rest
 * is the value. What passes may become part of an argv element or a URL. */
#include <curl/curl.h>
#include <strings.h>

#include "executor/params.h"
#include "tests/fuzz/fuzz.h"

static const char schema[] = "string: {type: string, default: a}\n"
			     "int: {type: int, min: -5, max: 100000, default: 1}\n"
			     "bool: {type: bool, default: true}\n"
			     "enum: {type: enum, values: [red, green], default: red}\n"
			     "duration: {type: duration, max: 1h, default: 1s}\n"
			     "path: {type: path, default: /var/log/web}\n"
			     "host: {type: host, default: web}\n"
			     "name: {type: name, default: x}\n"
			     "url: {type: url, default: \"http://web/\"}\n";
static const char inventory_text[] =
	"- {id: web, kind: service, tools: [\"*\"], paths: [/var/log/web], "
	"hosts: [web, \"127.0.0.1:8080\", \"[::1]:9\"]}\n";

static struct params_def defs;
static struct inventory inventory;

static void prepare(void)
{
	struct yaml_doc doc = {0};
	struct why why = {0};
	MUST(yaml_parse_text("schema", schema, strlen(schema), &doc, &why) == 0);
	MUST(params_parse(doc.root, &defs, &why) == 0);
	yaml_release(&doc);
	MUST(yaml_parse_text("targets", inventory_text, strlen(inventory_text), &doc, &why) == 0);
	MUST(inventory_parse_targets(&inventory, doc.root, &why) == 0);
	yaml_release(&doc);
}

/* curl, which will open it, must see a host that is allowed. */
static void url_check(const char *text)
{
	char *host = NULL, *port = NULL;
	CURLU *url = curl_url();
	if (curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK) {
		curl_url_get(url, CURLUPART_HOST, &host, 0);
		curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
		MUST(host && port);
		MUST(strcasecmp(host, "web") == 0 ||
		     (str_eq(host, "127.0.0.1") && str_eq(port, "8080")) ||
		     (str_eq(host, "[::1]") && str_eq(port, "9")));
	}
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(url);
}

static void path_check(const char *text)
{
	size_t len = strlen(text);
	MUST(str_starts(text, "/var/log/web") && (!text[12] || text[12] == '/'));
	MUST(!strstr(text, "/../") && !strstr(text, "/./") && !strstr(text, "//"));
	MUST(!str_eq(text + len - 3, "/.."));
}

static void text_check(enum param_type type, const char *text)
{
	for (const char *c = text; *c; c++)
		MUST((unsigned char)*c >= 0x20 && *c != 0x7f);
	MUST(text[0] && text[0] != '-');
	MUST(type == PARAM_PATH || !strpbrk(text, " \"'`$|<>()\\{}*"));
	MUST(type == PARAM_PATH || type == PARAM_URL || !strpbrk(text, ";&#"));
	if (type == PARAM_PATH)
		path_check(text);
	if (type == PARAM_URL)
		url_check(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!defs.n)
		prepare();
	const struct param_def *def = &defs.items[fuzz_take(&data, &size) % defs.n];
	uint8_t kind = fuzz_take(&data, &size);
	auto_free char *text = fuzz_text(data, size);
	Healbus__Param param = HEALBUS__PARAM__INIT;
	Healbus__Param *params[] = {&param};
	struct why why = {0};
	const struct params_place place = {.target = &inventory.targets[0]};
	json_t *out = NULL;
	param.name = def->name;
	if (kind % 4 == 0)
		param.string_value = text;
	else if (kind % 4 == 1)
		SET(&param, int_value, strtoll(text, NULL, 0));
	else if (kind % 4 == 2)
		SET(&param, double_value, strtod(text, NULL));
	else
		SET(&param, bool_value, size & 1);
	if (params_validate(&defs, &place, params, 1, &out, &why))
		MUST(why.text[0]);
	else if (json_is_string(json_object_get(out, def->name)))
		text_check(def->type, json_string_value(json_object_get(out, def->name)));
	json_decref(out);
	return 0;
}
