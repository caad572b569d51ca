/* What a value looks like on disk. */
#include "common/id.h"
#include "common/store_impl.h"

enum { VALUE_MAGIC = 0x4842 };

/* Before every value; little-endian as the machine has it. The sum also covers the key, so a value
 * that stands under another key is noticed. */
struct value_header {
	uint16_t magic;
	uint16_t version;
	uint32_t len;
	uint32_t crc;
};

static uint32_t value_crc(const struct value_header *h, const MDB_val *key, const void *data)
{
	uint32_t crc = crc32c(0, h, offsetof(struct value_header, crc));
	crc = crc32c(crc, key->mv_data, key->mv_size);
	return crc32c(crc, data, h->len);
}

static int value_check(const MDB_val *key, const MDB_val *stored, struct value_header *out)
{
	struct value_header h;
	if (stored->mv_size < sizeof(h))
		return ERR_CORRUPT;
	memcpy(&h, stored->mv_data, sizeof(h));
	const char *data = (const char *)stored->mv_data + sizeof(h);
	if (h.magic != VALUE_MAGIC || h.len != stored->mv_size - sizeof(h) ||
	    h.crc != value_crc(&h, key, data))
		return ERR_CORRUPT;
	*out = h;
	return 0;
}

int store_value_version(const MDB_val *key, const MDB_val *stored, uint16_t *out)
{
	struct value_header h;
	int rc = value_check(key, stored, &h);
	if (!rc)
		*out = h.version;
	return rc;
}

int store_open_value(const struct store_table *table, const MDB_val *key, const MDB_val *stored,
		     struct store_val *out)
{
	struct value_header h;
	int rc = value_check(key, stored, &h);
	if (rc)
		return rc;
	if (h.version != table->version)
		return ERR_SCHEMA;
	*out = (struct store_val){(const char *)stored->mv_data + sizeof(h), h.len};
	return 0;
}

void store_seal_value(const struct store_table *table, const MDB_val *key,
		      const struct store_val *val, struct buf *out)
{
	struct value_header h = {
		.magic = VALUE_MAGIC, .version = table->version, .len = (uint32_t)val->len};
	h.crc = value_crc(&h, key, val->data);
	buf_add(out, &h, sizeof(h));
	buf_add(out, val->data, val->len);
}
