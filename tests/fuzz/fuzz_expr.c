/* Expressions and templates; the first byte says which. Expressions that we evaluate ourselves must
 * give what jq gives. */
#include "common/expr_impl.h"
#include "tests/fuzz/fuzz.h"

static const char input_text[] =
	"{\"a\":{\"b\":\"text\",\"c\":null,\"d\":[1,2.5,true]},\"n\":12,\"s\":\"{{.n}} \\u00e9\","
	"\"f\":false,\"labels\":{\"service\":\"web\"},\"events\":[{\"name\":\"x\"}]}";

static int outcome(const char *source, const json_t *input, json_t **out)
{
	struct expr *e = NULL;
	struct why why = {0};
	int rc = expr_compile(source, &e, &why);
	if (rc)
		MUST(rc == ERR_CONFIG && why.text[0]);
	else
		rc = expr_eval_all(e, input, out, &why);
	expr_free(e);
	return rc;
}

/* In brackets on lines of its own, it is jq's. */
static void compare(const char *source, const json_t *input)
{
	struct simple simple = {0};
	if (!simple_parse(source, &simple))
		return;
	simple_release(&simple);
	auto_buf bracketed = {0};
	json_t *ours = NULL, *theirs = NULL;
	buf_printf(&bracketed, "(%s\n)", source);
	int rc = outcome(source, input, &ours);
	MUST(outcome(buf_str(&bracketed), input, &theirs) == rc);
	MUST(rc || json_equal(ours, theirs));
	json_decref(ours);
	json_decref(theirs);
}

static void render(const char *source, const json_t *input)
{
	struct template *t = NULL;
	struct why why = {0};
	auto_buf out = {0};
	if (template_compile(source, &t, &why))
		MUST(why.text[0]);
	else
		(void)template_render(t, input, &out, &why);
	template_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t which = fuzz_take(&data, &size);
	auto_free char *source = fuzz_text(data, size);
	json_t *input = json_loads(input_text, 0, NULL);
	json_t *out = NULL;
	MUST(input);
	if (which % 2) {
		render(source, input);
	} else {
		(void)outcome(source, input, &out);
		compare(source, input);
	}
	json_decref(out);
	json_decref(input);
	return 0;
}
