#include "notifier/proxies.h"

#include "common/mem.h"

#include <arpa/inet.h>

static bool address_read(const char *text, uint8_t out[static 16], bool *out_v4)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	*out_v4 = inet_pton(AF_INET, text, out + 12) == 1;
	if (!*out_v4)
		return inet_pton(AF_INET6, text, out) == 1;
	memcpy(out, mapped, sizeof(mapped));
	return true;
}

static bool net_read(const char *text, struct proxy_net *out)
{
	char address[64];
	bool v4;
	size_t len = strcspn(text, "/");
	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	if (!address_read(address, out->address, &v4))
		return false;
	out->bits = 128;
	if (!text[len])
		return true;
	const char *digits = text + len + 1;
	unsigned long bits = strtoul(digits, NULL, 10), most = v4 ? 32 : 128;
	size_t n = strlen(digits);
	if (n == 0 || n > 3 || strspn(digits, "0123456789") != n || bits > most)
		return false;
	out->bits = (unsigned)(v4 ? bits + 96 : bits);
	return true;
}

int proxies_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct proxies *all = field;
	if (!node)
		return 0;
	if (node->type != YAML_LIST)
		return yaml_error(node, out_why, "trusted_proxies: must be a list");
	all->items = mem_calloc(node->count, sizeof(*all->items));
	YAML_EACH(item, node)
	{
		const char *text;
		int rc = yaml_str(item, "trusted_proxies", &text, out_why);
		if (rc)
			return rc;
		if (!net_read(text, &all->items[all->n]))
			return yaml_error(item, out_why,
					  "trusted_proxies: \"%s\" is no address or network, as "
					  "192.0.2.7 or 10.0.0.0/8",
					  text);
		all->n++;
	}
	return 0;
}

void proxies_release(void *field)
{
	struct proxies *all = field;
	free(all->items);
	*all = (struct proxies){0};
}

static bool net_has(const struct proxy_net *net, const uint8_t address[static 16])
{
	size_t whole = net->bits / 8;
	if (memcmp(net->address, address, whole) != 0)
		return false;
	unsigned mask = 0xff00U >> net->bits % 8 & 0xffU;
	return net->bits % 8 == 0 || ((net->address[whole] ^ address[whole]) & mask) == 0;
}

bool proxies_have(const struct proxies *all, const char *address)
{
	uint8_t bytes[16];
	bool v4;
	if (!all->n || !address_read(address, bytes, &v4))
		return false;
	for (size_t i = 0; i < all->n; i++)
		if (net_has(&all->items[i], bytes))
			return true;
	return false;
}
