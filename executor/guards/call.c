/* New ways out: programs started, text run as code, the network reached. */
#include "executor/guards/guards.h"

#define SHELL_NETWORK                                                                              \
	"(?:^|[\\s;&|`(\"'\\[,/])(?:curl|wget|nc|ncat|netcat|socat|telnet|ssh|scp|sftp|rsync|ftp|" \
	"nslookup|dig|http|aria2c)(?=[\\s\"',])|/dev/(?:tcp|udp)/"
#define SHELL_PROCESS                                                                              \
	"(?:^|[\\s;&|`(])(?:eval|exec|source|sudo|su|nohup|crontab|at|xargs|osascript|perl\\s+-e|" \
	"python[0-9.]*\\s+-c|ruby\\s+-e|node\\s+-e|(?:ba|z|k|da)?sh\\s+-c|docker\\s+run)(?=["      \
	"\\s\"'])"

static struct pattern process[LANGUAGES] = {
	[LANGUAGE_SHELL] = PATTERN(SHELL_PROCESS),
	[LANGUAGE_CONFIG] = PATTERN(SHELL_PROCESS),
	[LANGUAGE_PYTHON] = PATTERN(
		"\\bsubprocess\\b|\\bos\\s*\\.\\s*(?:system|popen|exec[lv]\\w*|spawn\\w*|posix_"
		"spawn\\w*|"
		"fork\\w*)|(?<![.\\w])(?:eval|exec|compile|__import__)\\s*\\(|\\bimportlib\\b|"
		"\\bpty\\."
		"|\\bctypes\\b|\\bpickle\\.loads?\\b|\\bmarshal\\.loads?\\b|\\byaml\\.(?:unsafe_)?"
		"load\\s*\\("
		"|\\basyncio\\.create_subprocess|\\brunpy\\b|\\bpexpect\\b|getattr\\s*\\(\\s*os\\b|"
		"\\bfrom\\s+os\\s+import\\b|__builtins__|\\bcode\\.interact\\b|shell\\s*=\\s*True"),
	[LANGUAGE_JS] = PATTERN(
		"\\bchild_process\\b|\\b(?:exec|execSync|execFile|execFileSync|spawn|spawnSync|"
		"fork)\\s*\\("
		"|(?<![.\\w])eval\\s*\\(|\\bnew\\s+Function\\s*\\(|\\bvm\\.(?:run|Script|compile)|"
		"\\bDeno\\.(?:run|Command)|\\bBun\\.spawn|\\bexeca\\b|\\bshelljs\\b|"
		"\\bset(?:Timeout|Interval)\\s*\\(\\s*[\"'`]|dangerouslySetInnerHTML|\\bdocument\\."
		"write|"
		"\\bprocess\\.binding|\\brequire\\s*\\(\\s*[^\"'`)\\s]"),
	[LANGUAGE_RUST] =
		PATTERN("\\bCommand\\s*::\\s*new\\b|\\bstd\\s*::\\s*process\\b|\\blibc\\s*::\\s*(?:"
			"system|exec\\w*|"
			"fork)|\\blibloading\\b|\\bduct\\b|\\bnix::unistd::(?:exec|fork)"),
	[LANGUAGE_GO] = PATTERN(
		"\\bexec\\s*\\.\\s*Command|\"os/exec\"|\\bsyscall\\.(?:Exec|ForkExec|StartProcess)|"
		"\\bos\\.StartProcess|\\bplugin\\.Open|//go:linkname|\"C\""),
	[LANGUAGE_JVM] = PATTERN(
		"\\bProcessBuilder\\b|\\bgetRuntime\\s*\\(|\\bScriptEngine|\\.execute\\s*\\(\\s*\\)"
		"|"
		"\\bObjectInputStream\\b|\\bClass\\.forName\\b|\\bSystem\\.load(?:Library)?\\b|"
		"(?<![.\\w])(?:sh|bat|evaluate)\\s*[( "
		"]\\s*[\"']|\\bURLClassLoader\\b|\\bsys\\.process\\b"),
	[LANGUAGE_C] = PATTERN("\\b(?:system|popen|_popen|exec[lv][pe]{0,2}|fexecve|posix_spawnp?|"
			       "v?fork|dlopen|dlsym|"
			       "ShellExecute\\w*|CreateProcess\\w*|WinExec|LoadLibrary\\w*)\\s*\\(|"
			       "\\basm\\b|__asm"),
	[LANGUAGE_RUBY] = PATTERN("(?<![.\\w])(?:system|exec|spawn|fork|eval|instance_eval|class_"
				  "eval)[ (]|\\bIO\\.popen|"
				  "\\bOpen3\\b|%x[\\[({]|`|\\bMarshal\\.load\\b|\\bKernel\\.|"
				  "\\bYAML\\.(?:unsafe_)?load\\b"),
	[LANGUAGE_PHP] = PATTERN_CASELESS("(?<![>:\\w])(?:shell_exec|exec|system|passthru|proc_"
					  "open|popen|pcntl_exec|eval|assert|"
					  "create_function|unserialize)\\s*\\(|`"),
	[LANGUAGE_DOTNET] = PATTERN_CASELESS(
		"\\bProcess\\.Start\\b|\\bProcessStartInfo\\b|\\bAssembly\\.Load|\\bDllImport\\b|"
		"\\bInvoke-Expression\\b|\\biex\\b|\\bStart-Process\\b|\\bBinaryFormatter\\b|"
		"\\bAdd-Type\\b"),
};

static struct pattern network[LANGUAGES] = {
	[LANGUAGE_SHELL] = PATTERN(SHELL_NETWORK),
	[LANGUAGE_CONFIG] = PATTERN(SHELL_NETWORK),
	[LANGUAGE_PYTHON] = PATTERN(
		"\\b(?:requests|httpx)\\s*\\.\\s*(?:get|post|put|patch|delete|head|options|request|"
		"stream|[sS]ession|Client|AsyncClient|api)\\b|"
		"\\b(?:aiohttp|urllib2|http\\.client|socket|ftplib|smtplib|paramiko|telnetlib|"
		"websockets?|"
		"boto3)\\b(?=\\s*[.(])|\\burllib\\.request\\b|\\burlopen\\s*\\(|\\burlretrieve\\s*"
		"\\(|"
		"^\\s*(?:import|from)\\s+(?:requests|httpx|aiohttp|urllib\\.request|urllib3|socket|"
		"ftplib|"
		"smtplib|paramiko|telnetlib|websockets?|boto3)\\b"),
	[LANGUAGE_JS] = PATTERN(
		"(?<![.\\w])fetch\\s*\\(|\\baxios\\b|\\bXMLHttpRequest\\b|\\bnew\\s+WebSocket\\b|"
		"\\bhttps?\\.(?:get|request)\\b|\\bnet\\.(?:connect|createConnection|Socket)|"
		"\\bdgram\\b|\\bsendBeacon\\b|\\bEventSource\\b|\\bnew\\s+Image\\b|"
		"[\"'](?:node:)?(?:https?|net|tls|dns|dgram|node-fetch|undici|got|superagent)[\"'"
		"]"),
	[LANGUAGE_RUST] =
		PATTERN("\\b(?:reqwest|hyper|ureq|surf|isahc|curl|tungstenite|attohttpc)\\s*::"
			"|\\b(?:TcpStream|TcpListener|UdpSocket|UnixStream)\\b"),
	[LANGUAGE_GO] = PATTERN(
		"\\bnet\\.(?:Dial|Listen|Lookup)\\w*|\\bhttp\\.(?:Get|Post|PostForm|Head|"
		"NewRequest|Client|DefaultClient|Transport|ListenAndServe)\\w*|"
		"\\btls\\.Dial|\\bgrpc\\.(?:Dial|NewClient)|\\bsmtp\\.|\"net(?:/http|/smtp)?\""),
	[LANGUAGE_JVM] = PATTERN(
		"\\bHttpClient\\b|\\bHttpURLConnection\\b|\\bnew\\s+URL\\s*\\(|\\.openStream\\s*\\("
		"|"
		"\\bnew\\s+(?:Server|Datagram)?Socket\\b|\\bopenConnection\\b|\\bRestTemplate\\b|"
		"\\bWebClient\\b|\\bOkHttpClient\\b|\\bInitialContext\\b|\\bInetAddress\\b"),
	[LANGUAGE_C] =
		PATTERN("(?<![.>\\w])(?:socket|connect|sendto|getaddrinfo|gethostbyname|bind|"
			"curl_easy_\\w+|WSAStartup|InternetOpen\\w*|URLDownload\\w*)\\s*\\("),
	[LANGUAGE_RUBY] = PATTERN(
		"\\bNet::(?:HTTP|FTP|SMTP|SSH)\\b|\\bopen-uri\\b|\\bURI\\.open\\b|"
		"\\b(?:TCP|UDP|UNIX)Socket\\b|\\bFaraday\\b|\\bHTTParty\\b|\\bRestClient\\b"),
	[LANGUAGE_PHP] = PATTERN_CASELESS(
		"\\bcurl_(?:init|exec|setopt)|\\bfsockopen\\b|\\bstream_socket_client\\b|"
		"\\bGuzzleHttp\\b|file_get_contents\\s*\\(\\s*[\"']https?:|\\bmail\\s*\\("),
	[LANGUAGE_DOTNET] =
		PATTERN_CASELESS("\\bHttpClient\\b|\\bWebClient\\b|\\bWebRequest\\b|"
				 "\\bTcpClient\\b|\\bnew\\s+Socket\\b|"
				 "\\bInvoke-(?:WebRequest|RestMethod)\\b|\\bDownloadString\\b"),
};

static bool spoken_before(const struct guard_change *c, struct pattern *p, struct span what)
{
	struct span found;
	for (size_t i = 0; i < c->n_removed; i++)
		if (pattern_find(p, c->removed[i].text, c->removed[i].len, &found) &&
		    span_eq(found, what))
			return true;
	return false;
}

/* A line that was only moved or indented says nothing new. */
void check_process(struct review *r, const struct guard_change *c)
{
	enum language language = path_language(c->path);
	struct pattern *p = &process[language];
	for (size_t i = 0; p->text && i < c->n_added; i++) {
		const struct guard_line *l = &c->added[i];
		if (!line_is_comment(language, l) && pattern_line(p, l) && !line_was_there(c, l))
			review_say(r, c, l, "starts a program or runs text as code");
	}
}

/* Another argument of a call that was there is no question; another host is (check_host). */
void check_network(struct review *r, const struct guard_change *c)
{
	enum language language = path_language(c->path);
	struct pattern *p = &network[language];
	struct span found;
	for (size_t i = 0; p->text && i < c->n_added; i++) {
		const struct guard_line *l = &c->added[i];
		if (!line_is_comment(language, l) && pattern_find(p, l->text, l->len, &found) &&
		    !spoken_before(c, p, found))
			review_say(r, c, l, "reaches for the network");
	}
}

/* In any file: the line may be of a README today and in a terminal tomorrow. */
void check_shell_pipe(struct review *r, const struct guard_change *c)
{
	static struct pattern pipe = PATTERN_CASELESS(
		"\\b(?:curl|wget|fetch|iwr|base64|xxd|openssl|gunzip|zcat|printf|echo)\\b[^|;&]{0,"
		"999}"
		"(?:\\|[^|;&]{0,999}){0,5}\\|\\s*(?:sudo\\s+)?(?:env\\s+)?(?:/\\S*/"
		")?(?:ba|z|k|da|a)?sh\\b|"
		"\\b(?:curl|wget|base64|xxd)\\b[^;&]{0,999}\\|\\s*(?:sudo\\s+)?(?:python[0-9.]*|"
		"perl|"
		"ruby|node|php|"
		"iex)\\b|(?:ba|z)?sh\\s+(?:-c\\s+)?[\"']?(?:<\\(|\\$\\(|`)\\s*(?:curl|wget|base64)|"
		"(?:eval|source|\\.)\\s+[\"']?(?:<\\(|\\$\\(|`)\\s*(?:curl|wget|base64|echo)|"
		"/dev/tcp/"
		"|\\bbash\\s+-i\\b.{0,999}>&|\\bnc\\b.{0,999}\\s-[a-z]*e\\b|\\bmkfifo\\b.{0,999}"
		"\\bnc\\b|"
		"\\b(?:exec|eval)\\s*\\(\\s*(?:[\\w.]+\\.)?(?:b64decode|base64|atob|decode|"
		"decompress|"
		"fromhex|unhexlify)|Buffer\\.from\\([^)]{0,999}base64[^)]{0,999}\\)[^;]{0,999}(?:"
		"eval|Function)|"
		"DownloadString\\(.{0,999}\\biex\\b|\\biex\\b.{0,999}DownloadString");
	for (size_t i = 0; i < c->n_added; i++)
		if (pattern_line(&pipe, &c->added[i]) && !line_was_there(c, &c->added[i]))
			review_say(r, c, &c->added[i],
				   "runs what it has just downloaded or decoded");
}

/* ---- hosts ---- */

static bool is_nowhere(struct span host)
{
	static struct pattern nowhere =
		PATTERN_CASELESS("^(?:localhost|127\\.[0-9.]+|0\\.0\\.0\\.0|(?:[a-z0-9-]+\\.)*"
				 "example(?:\\.(?:com|org|net))?|"
				 "(?:[a-z0-9-]+\\.)*(?:test|invalid|localhost)|(?:www\\.)?w3\\.org|"
				 "(?:json-)?schema(?:s|store)?\\.[a-z]+|[a-z0-9_-]+)$");
	return pattern_find(&nowhere, host.text, host.len, NULL);
}

static bool host_before(const struct guard_change *c, struct span host)
{
	for (size_t i = 0; i < c->n_removed; i++)
		if (host.len && memmem(c->removed[i].text, c->removed[i].len, host.text, host.len))
			return true;
	return false;
}

void check_host(struct review *r, const struct guard_change *c)
{
	static struct pattern url =
		PATTERN_CASELESS("\\b(?:https?|wss?|ftps?|ssh|git|tcp)://(?:[^/"
				 "\\s\"'@<>]*@)?(\\[[0-9a-f:.]+\\]|[a-z0-9_.-]+)");
	enum language language = path_language(c->path);
	struct span host;
	if (language == LANGUAGE_NONE || path_is_lock(c->path))
		return;
	for (size_t i = 0; i < c->n_added; i++) {
		const struct guard_line *l = &c->added[i];
		struct span rest = {l->text, l->len};
		while (!line_is_comment(language, l) &&
		       pattern_find(&url, rest.text, rest.len, &host)) {
			if (!is_nowhere(host) && !host_before(c, host) &&
			    !names_match(&r->policy->hosts, host.text, host.len)) {
				review_say(r, c, l, "speaks to a host that was not there");
				break;
			}
			size_t used = (size_t)(host.text + host.len - rest.text);
			rest = (struct span){rest.text + used, rest.len - used};
		}
	}
}
