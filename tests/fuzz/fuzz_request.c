/* What the door reads of a request: headers "name: value" up to an empty line, then the body. */
#include "common/http_server_private.h"
#include "common/secret.h"
#include "monitor/ingress.h"
#include "monitor/json_text.h"
#include "tests/fuzz/fuzz.h"

/* Cuts text up in place; returns the body. */
static char *take_headers(char *text, struct http_request *req)
{
	while (req->n_headers < HTTP_HEADERS_MAX) {
		char *stop = strchr(text, '\n');
		char *colon = strchr(text, ':');
		if (!stop || !colon || colon > stop)
			break;
		*stop = *colon = '\0';
		req->headers[req->n_headers++] = (struct http_header){text, colon + 1};
		text = stop + 1;
	}
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct secret key = {.data = (char[]){"secret"}, .len = 6};
	struct http_header headers[HTTP_HEADERS_MAX];
	struct http_request req = {.headers = headers};
	auto_free char *text = fuzz_text(data, size);
	auto_buf event = {0};
	struct why why = {0};
	char *body = take_headers(text, &req);
	buf_add_str(&req.body, body);
	(void)http_hmac_valid(&req, "X-Hub-Signature-256", &key);
	/* The body becomes part of it as it is; the door checks the whole afterwards. */
	if (cloudevent_structured(&req, &event))
		MUST(json_text_check(event.data, event.len, &why) == 0 ||
		     (req.body.len && json_text_check(body, req.body.len, &why)));
	buf_release(&req.body);
	return 0;
}
