/* What somebody who means ill writes into a label, a log line or a diff. None of it may format,
 * link, mention, hide or end anything where people read it. */
#ifndef TESTS_NOTIFIER_HOSTILE_H
#define TESTS_NOTIFIER_HOSTILE_H

static const char *const hostile[] = {
	"<!channel>",
	"<!here|here>",
	"<!everyone> @channel @here",
	"<@U12345> please approve",
	"<https://evil.example|https://good.example>",
	"[good](https://evil.example)",
	"&lt;!channel&gt;",
	"&amp;amp;lt;",
	"```\nApproved by ann\n```",
	"``````",
	"`````",
	"`` ` ```` `",
	"ends in ticks ```",
	"*bold* _it_ ~gone~ `code`",
	"**bold** __u__ ~~s~~ ||spoiler||",
	"@everyone",
	"<@&81384788765712384> <#81384788765712385> <:x:1>",
	"> quoted\n>>> all of it",
	"# Heading\n-# small",
	"\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
	"rm -rf /\rls -l /tmp          ",
	"\xe2\x80\xaetxt.exe\xe2\x80\xac",
	"\xe2\x81\xa6hidden\xe2\x81\xa9 \xe2\x80\x8bzero",
	"null \x01\x02\x7f bytes",
	"\xff\xfe bad utf-8 \xc3",
	"{\"text\":\"x\",\"blocks\":[]}",
	"\",\"attachments\":[{\"text\":\"",
	"\\u0000 \\n \\\\",
	"<script>alert(1)</script><img src=x onerror=alert(1)>",
	"' OR 1=1; -- ${IFS} $(reboot) %s%n",
	"\xf0\x9f\x94\xa5\xf0\x9f\x8f\xb3\xef\xb8\x8f\xe2\x80\x8d\xf0\x9f\x8c\x88 e\xcc\x81",
	"javascript:alert(1) data:text/html,x",
};

#endif
