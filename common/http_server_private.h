/*
 * What http_server.c (sockets, connections, life and death) and http_server_request.c (one request)
 * share. Nobody else includes this.
 */
#ifndef COMMON_HTTP_SERVER_PRIVATE_H
#define COMMON_HTTP_SERVER_PRIVATE_H

#include "common/base.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/address.h"
#include "common/http_server.h"
#include "common/http_text.h"

enum {
	HTTP_HEADERS_MAX = 100,
	HTTP_BODIES_MAX_BYTES = 24 << 20, /* of all requests together; over it: 503 */
	HTTP_REPLY_HEADERS_MAX = 16,
	HTTP_STREAM_CHUNK_BYTES = 4096,
	HTTP_SPARE_MAX_BYTES = 8192,
};

/* Of a request, under http_server.reply_lock from REQUEST_RUNNING on. */
enum request_state {
	REQUEST_NEW,       /* the request line has come */
	REQUEST_BODY,      /* the header is accepted */
	REQUEST_RUNNING,   /* the handler has it */
	REQUEST_SUSPENDED, /* the handler has returned and will answer later */
	REQUEST_REPLIED,   /* response and status are set */
	REQUEST_QUEUED,    /* libmicrohttpd has the response */
	REQUEST_ABORTED,   /* the server closed first; a late answer is dropped */
};

struct http_connection {
	struct http_server *server;
	struct http_connection *prev, *next;
	struct http_request *request;
	struct buf spare; /* the last request's body, for the next one's; empty of one that was
			     large */
	int fd;
	bool loopback;
	char peer[ADDRESS_TEXT_BYTES];
	int64_t uid; /* -1: no unix socket */
	/* The client's turn (to send, or to take our answer) since then; 0: ours. */
	_Atomic int64_t waiting_since_ms;
};

struct http_server {
	struct MHD_Daemon *daemon;
	const struct http_route *routes;
	size_t n_routes;
	const struct secret *tokens;
	size_t n_tokens;
	size_t body_max_bytes;
	int64_t request_timeout_ms;
	unsigned connections_max;
	unsigned port;
	char *unix_path; /* NULL: TCP */
	bool tls;
	http_authorize *authorize;
	void *authorize_ctx;

	pthread_mutex_t lock; /* connections, n_connections, stop */
	pthread_cond_t wake;  /* the reaper */
	struct http_connection *connections;
	unsigned n_connections;
	bool stop;
	pthread_t reaper;

	pthread_mutex_t reply_lock; /* state of requests, suspended, in_flight */
	pthread_cond_t idle;        /* in_flight became 0 */
	struct http_request *suspended;
	unsigned in_flight;
	struct http_stream *streams;
	_Atomic bool draining;

	_Atomic size_t body_bytes;
	_Atomic unsigned refs; /* the owner, and each request */
	struct why start_why;  /* while starting: the library's reason */
	_Atomic bool started;
};

struct http_header {
	const char *name;
	const char *value;
};

struct http_request {
	struct http_server *server;
	struct http_connection *connection;
	struct MHD_Connection *mhd;
	struct http_request *prev, *next; /* in suspended */
	_Atomic unsigned refs;            /* the connection; the handler until http_reply */
	enum request_state state;
	bool counted; /* in in_flight */

	char *raw_target;
	char method[16];
	struct http_target target;
	const char *wildcard;
	char user[HTTP_USER_MAX + 1];
	struct http_header *headers;
	size_t n_headers;
	char *header_memory;
	char peer[ADDRESS_TEXT_BYTES];
	int64_t uid;
	bool loopback;
	struct buf body;
	size_t body_counted;
	int refused; /* body over a limit: the rest is read and dropped */
	const struct http_route *route;

	struct buf reply_headers; /* name NUL value NUL ... */
	size_t n_reply_headers;
	unsigned status;
	struct MHD_Response *response;
	bool shared;                /* the response, with other requests */
	struct http_stream *stream; /* the answer's, when it is one */
};

void http_server_ref(struct http_server *s);
void http_server_unref(struct http_server *s);

/* May it ask this route? By its headers, the peer and the server's tokens. 0, ERR_DENIED or
 * ERR_UNAUTHENTICATED. */
int http_request_authenticate(struct http_request *r, struct why *why);

/* http_server_reply.c */
void http_reply_decorate(const struct http_request *r, struct MHD_Response *response,
			 const char *content_type);
/* Hands the response to the connection and gives up the handler's reference. */
void http_reply_response(struct http_request *r, unsigned status, struct MHD_Response *response);
/* The connection is done with its request. */
void http_stream_detach(struct http_request *r);
/* Ends every stream, so that no connection stays suspended. */
void http_streams_end(struct http_server *s);

/* Gives up one reference: the connection's or the handler's. */
void http_request_unref(struct http_request *r);
/* The callbacks of one request, in the order in which libmicrohttpd makes them. */
void *http_request_line(void *server, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result http_request_access(void *server, struct MHD_Connection *mhd, const char *url,
				    const char *method, const char *version,
				    const char *upload_data, size_t *upload_data_size,
				    void **request);
void http_request_completed(void *server, struct MHD_Connection *mhd, void **request,
			    enum MHD_RequestTerminationCode why);
/* The connection lets go of its request, if it has one. */
void http_request_drop(struct http_connection *c);
/* Answers every suspended request with 503; later answers to them are dropped. */
void http_requests_abort(struct http_server *s);

#endif
