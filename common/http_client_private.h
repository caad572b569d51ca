/*
 * What http_client.c (transfers, HTTP) and http_client_mail.c (SMTP) share. Nobody else includes
 * this.
 */
#ifndef COMMON_HTTP_CLIENT_PRIVATE_H
#define COMMON_HTTP_CLIENT_PRIVATE_H

#include <curl/curl.h>

#include "common/http_client.h"

/* Two pools of connections: one opened under public_only must not be one that was not. */
struct http_client {
	CURL *easy;
	CURLM *anywhere;
	CURLM *public_only;
};

/* One call under way. */
struct transfer {
	CURL *easy;
	CURLM *multi;
	struct buf *body;
	bool (*sink)(void *ctx, const char *data, size_t len); /* in place of body; NULL: none */
	void *sink_ctx;
	bool enough;             /* the sink said so */
	const char *const *keep; /* headers wanted, and where their values go */
	char **kept;
	size_t body_max_bytes;
	size_t header_bytes;
	const char *upload; /* of a mail */
	size_t upload_left;
	int64_t deadline_ms; /* by clock_mono_ms */
	struct curl_slist *headers, *recipients;
	char curl_error[CURL_ERROR_SIZE];
	bool public_only;
	int refused; /* why we aborted it ourselves */
};

#define auto_transfer __attribute__((cleanup(transfer_release))) struct transfer

int transfer_check_url(const char *url, struct why *out_why);
/* Resets the handle and sets what holds for every transfer; t, url and ca_file are borrowed until
 * transfer_end. */
void transfer_set_common(struct transfer *t, const char *url, const char *protocols,
			 const char *ca_file);
/* Aborts when out of memory. */
void transfer_append(struct curl_slist **list, const char *text);
/* Blocks until it is over, the deadline passes or the stop flag is raised. */
int transfer_run(struct transfer *t, struct why *out_why);
/* After transfer_run and after reading what libcurl knows about it. */
void transfer_end(struct transfer *t);
void transfer_release(struct transfer *t);

#endif
