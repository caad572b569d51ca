#include "common/address.h"

#include <netdb.h>
#include <setjmp.h>
#include <cmocka.h>

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		bool is_public, is_loopback;
	} t[] = {
		{"8.8.8.8", true, false},
		{"127.0.0.1", false, true},
		{"127.255.0.9", false, true},
		{"10.1.2.3", false, false},
		{"172.15.0.1", true, false},
		{"172.16.0.1", false, false},
		{"172.31.255.255", false, false},
		{"172.32.0.1", true, false},
		{"192.168.1.1", false, false},
		{"169.254.169.254", false, false},
		{"100.64.0.1", false, false},
		{"100.63.255.255", true, false},
		{"100.128.0.1", true, false},
		{"0.0.0.0", false, false},
		{"224.0.0.1", false, false},
		{"255.255.255.255", false, false},
		{"198.18.0.1", false, false},
		{"198.20.0.1", true, false},
		{"2606:4700::1111", true, false},
		{"::1", false, true},
		{"::", false, false},
		{"fe80::1", false, false},
		{"fd00:ec2::254", false, false},
		{"ff02::1", false, false},
		{"::ffff:127.0.0.1", false, true},
		{"::ffff:10.0.0.1", false, false},
		{"::ffff:8.8.8.8", true, false},
		{"::127.0.0.1", false, false},
		{"64:ff9b::a9fe:a9fe", false, false},
		{"64:ff9b::808:808", true, false},
		{"2002:7f00:1::", false, false},
		{"2002:808:808::", true, false},
		{"2001:db8::1", false, false},
		{"2001::1", false, false},
		{"100::1", false, false},
		{"fec0::1", false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct addrinfo *a, hints = {.ai_flags = AI_NUMERICHOST};

		assert_int_equal(getaddrinfo(t[i].text, NULL, &hints, &a), 0);
		if (address_is_public(a->ai_addr) != t[i].is_public ||
		    address_is_loopback(a->ai_addr) != t[i].is_loopback)
			fail_msg("%s", t[i].text);
		freeaddrinfo(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_addresses)};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
