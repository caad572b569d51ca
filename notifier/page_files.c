#include "notifier/page.h"

#include "common/log.h"
#include "common/yaml.h"

enum { FILE_MAX_BYTES = 1 << 20, ETAG_HEX = 32 };

/* The page may load what it came with, ask where it came from, and nothing else. */
static const char policy[] =
	"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
	"img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

#define FILE_ROW(path, file, type) {path, file, type},
static const struct {
	const char *path, *file, *type;
} rows[] = {PAGE_FILES(FILE_ROW)};

struct page_files {
	struct {
		struct buf data; /* empty: not there */
		char etag[ETAG_HEX + 3];
	} items[ARRAY_SIZE(rows)];
};

static int yaml_as_json(const char *path, struct buf *out)
{
	struct yaml_doc doc = {0};
	struct why why = {0};
	int rc = yaml_parse_file(path, &doc, &why);
	if (!rc)
		yaml_to_json(doc.root, out);
	yaml_release(&doc);
	return rc;
}

static int file_read(size_t i, const char *path, struct buf *out)
{
	bool convert = str_eq(rows[i].type, "application/json");
	int rc = convert ? yaml_as_json(path, out) : buf_read_file(out, path, FILE_MAX_BYTES);
	if (rc)
		LOG(DEBUG, "a file of the page is not there", S("path", path));
	return rc;
}

struct page_files *page_files_read(const char *dir)
{
	struct page_files *f = mem_alloc(sizeof(*f));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t digest[DIGEST_BYTES];
		auto_free char *path = mem_printf("%s/%s", dir, rows[i].file);
		struct buf *data = &f->items[i].data;
		if (file_read(i, path, data)) {
			buf_release(data);
			continue;
		}
		digest_sha256(buf_str(data), data->len, digest);
		f->items[i].etag[0] = '"';
		hex_encode(digest, ETAG_HEX / 2, f->items[i].etag + 1);
		f->items[i].etag[ETAG_HEX + 1] = '"';
	}
	if (!f->items[0].data.len)
		LOG(WARN, "the page is not served: web_dir holds no index.html", S("web_dir", dir));
	return f;
}

void page_files_free(struct page_files *f)
{
	for (size_t i = 0; f && i < ARRAY_SIZE(rows); i++)
		buf_release(&f->items[i].data);
	free(f);
}

static void file_reply(struct http_request *req, const struct page_files *f, size_t i)
{
	const char *known = http_header(req, "If-None-Match");
	http_reply_header(req, "Cache-Control", "no-cache");
	http_reply_header(req, "ETag", f->items[i].etag);
	http_reply_header(req, "Content-Security-Policy", policy);
	http_reply_header(req, "Cross-Origin-Opener-Policy", "same-origin");
	http_reply_header(req, "X-Frame-Options", "DENY");
	if (known && str_eq(known, f->items[i].etag))
		http_reply(req, 304, NULL, NULL, 0);
	else
		http_reply(req, 200, rows[i].type, buf_str(&f->items[i].data),
			   f->items[i].data.len);
}

void page_file(void *ctx, struct http_request *req)
{
	const struct page_files *f = page_files_of(page_of(ctx));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (f->items[i].data.len && str_eq(rows[i].path, http_path(req))) {
			file_reply(req, f, i);
			return;
		}
	}
	http_reply(req, 404, "text/plain; charset=utf-8", "not found\n", 10);
}
