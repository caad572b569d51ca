#include "common/redact.h"
#include "common/clock.h"
#include "common/mem.h"

#include <setjmp.h>
#include <cmocka.h>

/* Made up; in two halves, so that no scanner of repositories takes this file for a leak. */
#define R30 "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1"
#define R36 R30 "xY3zA5"
#define HEX32 "0123456789abcdef0123456789abcdef"

struct row {
	const char *in;
	const char *out; /* NULL: the same */
};

static void check(const struct redactor *r, const struct row *row)
{
	auto_buf out = {0};
	const char *want = row->out ? row->out : row->in;
	size_t n = redact(r, row->in, strlen(row->in), &out);

	if (!str_eq(buf_str(&out), want))
		print_error("%s\n  gives %s\n", row->in, buf_str(&out));
	assert_string_equal(buf_str(&out), want);
	assert_int_equal(n > 0, row->out != NULL);
	buf_reset(&out);
	redact(r, want, strlen(want), &out);
	assert_string_equal(buf_str(&out), want);
}

#define CHECK_ALL(r, rows)                                                                         \
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)                                              \
	check(r, &(rows)[i])

static const struct row token_rows[] = {
	{"id AK"
	 "IAIOSFODNN7EXAMPLE end",
	 "id [REDACTED:aws-key] end"},
	{"AS"
	 "IAIOSFODNN7EXAMPLE",
	 "[REDACTED:aws-key]"},
	{"key=AI"
	 "zaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
	 "key=[REDACTED:gcp-key]"},
	{"GOC"
	 "SPX-a1B2c3D4e5F6g7H8i9J0",
	 "[REDACTED:gcp-key]"},
	{"ya"
	 "29.a0AfH6SMBx1234567890abcdef",
	 "[REDACTED:gcp-token]"},
	{"remote: gh"
	 "p_" R36 "\n",
	 "remote: [REDACTED:github-token]\n"},
	{"gh"
	 "o_" R36,
	 "[REDACTED:github-token]"},
	{"gh"
	 "s_" R36,
	 "[REDACTED:github-token]"},
	{"\033[32mgh"
	 "p_" R36 "\033[0m",
	 "\033[32m[REDACTED:github-token]\033[0m"},
	{"\"a\\ngh"
	 "p_" R36 "\"",
	 "\"a\\n[REDACTED:github-token]\""},
	{"x%3Dgh"
	 "p_" R36,
	 "x%3D[REDACTED:github-token]"},
	{"github"
	 "_pat_11AAAAAAA0abcdefghijkl_" R36,
	 "[REDACTED:github-token]"},
	{"gl"
	 "pat-abcDEF123_456ghiJKL78",
	 "[REDACTED:gitlab-token]"},
	{"gl"
	 "rt-t1_abcDEF123456ghiJKL78.",
	 "[REDACTED:gitlab-token]."},
	{"xo"
	 "xb-123456789012-abcdefABCDEF",
	 "[REDACTED:slack-token]"},
	{"https://hooks.sl"
	 "ack.com/services/T00000000/B00000000/" R30,
	 "https://[REDACTED:slack-webhook]"},
	{"sk_"
	 "live_4eC39HqLyjWDarjtT1zdp7dc",
	 "[REDACTED:stripe-key]"},
	{"npm"
	 "_" R36,
	 "[REDACTED:npm-token]"},
	{"pypi-"
	 "AgEIcHlwaS5vcmcCJ" R30,
	 "[REDACTED:pypi-token]"},
	{"dckr"
	 "_pat_" R30,
	 "[REDACTED:docker-token]"},
	{"sk-"
	 "ant-api03-" R36,
	 "[REDACTED:anthropic-key]"},
	{"sk-"
	 "proj-" R36,
	 "[REDACTED:openai-key]"},
	{"sk-" R36, "[REDACTED:openai-key]"},
	{"hv"
	 "s.CAESI" R30,
	 "[REDACTED:vault-token]"},
	{"gls"
	 "a_" R30 "_1a2b3c4d",
	 "[REDACTED:grafana-token]"},
	{"ey"
	 "JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n",
	 "[REDACTED:jwt]"},
	{"AGE-SECRET-"
	 "KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQQPZRY9X8GF2TVDW0S3JN54KH",
	 "[REDACTED:age-key]"},
};

static void test_tokens(void **state UNUSED)
{
	CHECK_ALL(NULL, token_rows);
}

static void test_assigned(void **state UNUSED)
{
	static const struct row rows[] = {
		{"DB_PASSWORD=hunter2", "DB_PASSWORD=[REDACTED:password]"},
		{"PASSWORD=hunter", "PASSWORD=[REDACTED:password]"},
		{"password: s3cr3t!", "password: [REDACTED:password]"},
		{"password: hunter\n", "password: [REDACTED:password]\n"},
		{"{\"password\":\"open sesame\",\"a\":1}",
		 "{\"password\":\"[REDACTED:password]\",\"a\":1}"},
		{"{\\\"password\\\":\\\"sesame\\\"}",
		 "{\\\"password\\\":\\\"[REDACTED:password]\\\"}"},
		{"clientSecret: 'abc-def-1'", "clientSecret: '[REDACTED:secret]'"},
		{"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		 "aws_secret_access_key = [REDACTED:secret]"},
		{"X-Api-Key: 12345abcde", "X-Api-Key: [REDACTED:secret]"},
		{"api_key=" HEX32, "api_key=[REDACTED:secret]"},
		{"//registry.example.org/:_authToken=" HEX32,
		 "//registry.example.org/:_authToken=[REDACTED:token]"},
		{"GET /x?access_token=abc123def&b=1", "GET /x?access_token=[REDACTED:token]&b=1"},
		{"?sv=2020&sig=aB%2Bc9d8e7f6%3D&se=1", "?sv=2020&sig=[REDACTED:signature]&se=1"},
		{"next=%2Fx%3Ftoken%3Dabc123def", "next=%2Fx%3Ftoken%3D[REDACTED:token]"},
		{"token: 8charsX1", "token: [REDACTED:token]"},
		{"mysql --password hunter2 -u x", "mysql --password [REDACTED:password] -u x"},
		{"tool --token=abcd1234", "tool --token=[REDACTED:token]"},
		{"<password>tiger</password>", "<password>[REDACTED:password]</password>"},
		{"Server=db;User Id=sa;Password=p4ss;Encrypt=true",
		 "Server=db;User Id=sa;Password=[REDACTED:password];Encrypt=true"},
		{"AccountName=a;AccountKey=abcd1234+/efgh==;",
		 "AccountName=a;AccountKey=[REDACTED:secret];"},
		{"Authorization: Bearer abc.def-123",
		 "Authorization: Bearer [REDACTED:authorization]"},
		{"authorization: Basic dXNlcjpwYXNz",
		 "authorization: Basic [REDACTED:authorization]"},
		{"'Authorization': 'token abcdef99'",
		 "'Authorization': 'token [REDACTED:authorization]'"},
		{"> Cookie: session=abcdef; theme=dark\r\n", "> Cookie: [REDACTED:cookie]\r\n"},
		{"curl -H 'x: Bearer abcdef123456'", "curl -H 'x: Bearer [REDACTED:token]'"},
		{"\033[1mPASSWORD=hunter2\033[0m", "\033[1mPASSWORD=[REDACTED:password]\033[0m"},
		{"password=$2b$10$N9qo8uLOickgx2ZMRZoMye", "password=[REDACTED:password]"},
	};

	CHECK_ALL(NULL, rows);
}

static void test_urls_and_keys(void **state UNUSED)
{
	static const struct row rows[] = {
		{"postgres://app:hunter2@db:5432/x",
		 "postgres://app:[REDACTED:url-password]@db:5432/x"},
		{"redis://:hunter2@cache", "redis://:[REDACTED:url-password]@cache"},
		{"mongodb+srv://u:p%40ss@h/?w=1", "mongodb+srv://u:[REDACTED:url-password]@h/?w=1"},
		{"https://" HEX32 "@example.org/x",
		 "https://[REDACTED:url-password]@example.org/x"},
		{"https://x-access-token:abc@github.com/o/r",
		 "https://x-access-token:[REDACTED:url-password]@github.com/o/r"},
		{"a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----\nb",
		 "a\n[REDACTED:private-key]\nb"},
		{"\"-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----\\n\"",
		 "\"[REDACTED:private-key]\\n\""},
		{"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n",
		 "[REDACTED:private-key]"},
		{"v wJ4lrXUtnF3MIzK7MDENGqbPxRf1CYzQ9 end", "v [REDACTED:high-entropy] end"},
		{"v wJ4lrXUtnF3MI/K7MDENG+bPxRf1CYzQ9== end", "v [REDACTED:high-entropy] end"},
		{"v kq9x2vz7wj4m8tq3zx6bk1vw5pj9xq2z end", "v [REDACTED:high-entropy] end"},
	};

	CHECK_ALL(NULL, rows);
}

static const struct row staying_rows[] = {
	{"commit 815a7a9c3bd1f0e2d4a6b8c0e1f2a3b4c5d6e7f8", NULL},
	{"\033[33m815a7a9c3bd1f0e2d4a6b8c0e1f2a3b4c5d6e7f8\033[m", NULL},
	{"123e4567-e89b-12d3-a456-426614174000", NULL},
	{"sha256:" HEX32 HEX32, NULL},
	{"ubuntu@sha256:" HEX32 HEX32, NULL},
	{"\"integrity\": "
	 "\"sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQ+LFTGHVxVjcXPs17"
	 "LhbZVGedAJv8XZ1tvj5FvSg==\"",
	 NULL},
	{"golang.org/x/text v0.3.0 h1:g61tztE5qeGQ89tm6NTjjM9VPIm088od1l6aSorWRWg=", NULL},
	{"SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8", NULL},
	{"--hash=sha256:" HEX32 HEX32, NULL},
	{"checksum = \"" HEX32 HEX32 "\"", NULL},
	{"/nix/store/x9q2v7wj4m8tq3zx6bk1vw5pj9xq2zkq-glibc-2.37/lib", NULL},
	{"_ZN4core3fmt9Formatter12pad_integral17h1f2e3d4c5b6a7988E", NULL},
	{"target/debug/deps/libserde-1a2b3c4d5e6f7a8b.rlib", NULL},
	{"web-7d9f8b6c5-x2x4z", NULL},
	{"node_modules/@babel/plugin-transform-react-jsx-development/lib/index.js", NULL},
	{"AbstractSingletonProxyFactoryBean2Test", NULL},
	{"test_should_return_404_when_user_is_missing[chromium-linux-x64]", NULL},
	{"org/springframework/boot/autoconfigure/Http2ServerAutoConfiguration.class", NULL},
	{"github.com/foo/bar@v0.0.0-20200101000000-abcdef123456", NULL},
	{"2024-11-25T10:11:12.1234567Z ##[group]Run actions/checkout@v4", NULL},
	{"pk_"
	 "live_4eC39HqLyjWDarjtT1zdp7dc",
	 NULL},
	{"error: unexpected token: '}'", NULL},
	{"token = lexer.next_token()", NULL},
	{"const token = getToken(user2)", NULL},
	{"password: string;", NULL},
	{"self.password = password", NULL},
	{"password=settings.DB_PASSWORD", NULL},
	{"password: ${{ secrets.DB_PASSWORD }}", NULL},
	{"PASSWORD=$DB_PASSWORD", NULL},
	{"password=***", NULL},
	{"password: <your password>", NULL},
	{"TOKEN: ${TOKEN}", NULL},
	{"secrets: inherit", NULL},
	{"secret: my-secret-name", NULL},
	{"Error: password authentication failed for user \"app\"", NULL},
	{"if token == 'abc12345x'", NULL},
	{"Authorization: Bearer ${TOKEN}", NULL},
	{"ssh://git@github.com/o/r.git", NULL},
	{"https://example.org/a:b@c", NULL},
	{"git@github.com:octo/repo.git", NULL},
	{"-----BEGIN "
	 "CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQsw\n"
	 "-----END CERTIFICATE-----\n",
	 NULL},
	{"x86_64-unknown-linux-gnu/release/build/openssl-sys", NULL},
	{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", NULL},
	{"write to a@example.org at 10.1.2.3", NULL},
	{"data: [REDACTED:password]", NULL},
	{"static const char s[] = "
	 "\"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789\";",
	 NULL},
	{"@ring_cookie: the hash of it", NULL},
	{"NFSERR_BAD_COOKIE = 10003,", NULL},
	{"OPTION_HTTPS_KEY_PASSWORD = 26,", NULL},
	{"no_token = 0xffffffffffff1;", NULL},
	{"no_token = UINT64_MAX;", NULL},
	{"the p_type field of Elf32_Phdr/Elf64_Phdr.", NULL},
	{"--- PASS: TestLinks/xml2map1 (0.00s)", NULL},
	{"System.Xml, Version=4.0, PublicKeyToken=b77a5c561934e089", NULL},
	{"pandoc-2.6.1-KJOG5Az39JY3gSdTOt6p98/HSpandoc", NULL},
	{"/var/folders/bb/n7t3rs157850byt_jfdcq9k80000gn/T/x", NULL},
	{"", NULL},
};

static void test_stays(void **state UNUSED)
{
	CHECK_ALL(NULL, staying_rows);
}

static void test_known(void **state UNUSED)
{
	static const struct row rows[] = {
		{"say correct horse!", "say [REDACTED:known]!"},
		{"xcorrect horsex", "x[REDACTED:known]x"},
		{"password=correct horse", "password=[REDACTED:known]"},
		{"correct%20horse", "[REDACTED:known]"},
		{"Y29ycmVjdCBob3JzZQ==", "[REDACTED:known]Q=="},
		{"correct hors", NULL},
		{"first line of it", NULL},
		{"a first line of it 1\nb", "a [REDACTED:known]\nb"},
		{"short", NULL},
	};
	struct redactor *r = NULL;

	assert_int_equal(redactor_new(NULL, 0, &r, NULL), 0);
	redactor_add(r, "correct horse\n", 14);
	redactor_add(r, "first line of it 1\nsecond line 2\n", 33);
	redactor_add(r, "short", 5);
	CHECK_ALL(r, rows);
	redactor_free(r);
	redactor_free(NULL);
}

static void test_files(void **state UNUSED)
{
	char path[] = "/tmp/test_redact.XXXXXX";
	int fd = mkstemp(path);
	const char *files[] = {path, NULL};
	struct redactor *r = NULL;
	struct why why = {0};

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "tr0ub4dor\n", 10), 10);
	close(fd);
	assert_int_equal(redactor_new(files, 0, &r, &why), 0);
	check(r, &(struct row){"is tr0ub4dor&", "is [REDACTED:known]&"});
	redactor_free(r);
	unlink(path);
	assert_int_equal(redactor_new(files, 0, &r, &why), ERR_CONFIG);
	assert_true(str_starts(why.text, path));
}

static void test_people(void **state UNUSED)
{
	static const struct row rows[] = {
		{"by Jo <jo.d+x@example.org>.", "by Jo <[REDACTED:email]>."},
		{"dial tcp 10.1.2.3:5432: refused", "dial tcp [REDACTED:address]:5432: refused"},
		{"to [2001:db8::1]:80", "to [[REDACTED:address]]:80"},
		{"version 1.2.3", NULL},
		{"at 10:11:12", NULL},
		{"a@b", NULL},
		{"std::vector", NULL},
	};
	struct redactor *r = NULL;

	assert_int_equal(redactor_new(NULL, REDACT_EMAILS | REDACT_ADDRESSES, &r, NULL), 0);
	CHECK_ALL(r, rows);
	redactor_free(r);
}

/* A MiB of what makes finders look ahead in vain. The bound is far above what it takes, and far
 * below what anything but linear would. */
static void test_linear(void **state UNUSED)
{
	static const char *const parts[] = {
		"a",
		"eyJ-",
		"token=",
		"token=\"",
		"-----BEGIN PRIVATE KEY----- ",
		"cookie:*",
		"://",
		"://a:",
		"-----",
		"password:{",
		"aB3/",
		"\033[",
		"x@",
		"1.",
		"-----BEGIN X ",
		("gh"
		 "p_"),
		"sk-",
		"secret\\\"",
		"\\n",
		"<password>",
		"token==",
		"glpat-.",
		"Bearer ",
		"%41",
		"authorization: basic ",
	};
	enum { LEN = 1 << 20, MOST_MS = 20000 };
	struct redactor *r = NULL;

	assert_int_equal(redactor_new(NULL, REDACT_EMAILS | REDACT_ADDRESSES, &r, NULL), 0);
	redactor_add(r, "token=token=x", 13);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		auto_buf text = {0}, out = {0};
		int64_t from = clock_mono_ms();
		while (text.len < LEN)
			buf_add_str(&text, parts[i]);
		redact(r, text.data, text.len, &out);
		if (getenv("HEALBUS_TEST_TIMES"))
			print_message("%-30s %4d ms\n", parts[i], (int)(clock_mono_ms() - from));
		assert_in_range(clock_mono_ms() - from, 0, MOST_MS);
	}
	redactor_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),        cmocka_unit_test(test_assigned),
		cmocka_unit_test(test_urls_and_keys), cmocka_unit_test(test_stays),
		cmocka_unit_test(test_known),         cmocka_unit_test(test_files),
		cmocka_unit_test(test_people),        cmocka_unit_test(test_linear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
