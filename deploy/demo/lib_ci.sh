# Shell functions of the demo of a red build, and of end-to-end tests that want one: a real repository behind a double of
# GitHub, and a scripted model. Sourced by bash after lib.sh.
# shellcheck shell=bash disable=SC2034,SC2154

repository=octo-org/calc branch=topic

start_github() {
	local work=$dir/work bare=$dir/repositories/$repository.git
	mkdir -p "$dir/repositories/${repository%/*}"
	cp -r "$root/deploy/demo/calc" "$work"
	git -C "$work" init -q -b main
	git_as_kim add .
	git_as_kim commit -qm "Add add()"
	git_as_kim checkout -qb "$branch"
	git_as_kim commit -q --allow-empty -m "Think about subtraction"
	git clone -q --bare "$work" "$bare"
	sha=$(git -C "$work" rev-parse HEAD)
	token=$(secret_of github)
	hook=$(secret_of hook)
	launch github python3 "$root/tests/e2e/lib_github.py" "$dir/repositories" --port "$github_port" --token "$token" \
		--requests "$dir/log/github-requests.jsonl"
	wait_for 10 "the double of GitHub listens" port_open "$github_port"
	failing_log >"$dir/job.log"
	github_scene job "$(jq -n --arg repository "$repository" --arg sha "$sha" --rawfile log "$dir/job.log" \
		'{repository: $repository, id: 2001, run_id: 1001, name: "test", head_sha: $sha, conclusion: "failure", log: $log,
		  steps: [{name: "make test", number: 2, status: "completed", conclusion: "failure"}]}')" >/dev/null
}

git_as_kim() {
	git -C "$dir/work" -c user.name=kim -c user.email=kim@example.org "$@"
}

# What the repository's own test prints, as a runner of GitHub Actions would have sent it.
failing_log() {
	{
		echo "##[group]Run make test"
		echo "make test"
		echo "##[endgroup]"
		make -C "$dir/work" test 2>&1
		echo "##[error]Process completed with exit code 2."
	} | sed 's/^/2026-11-21T12:00:30.0000000Z /'
	git -C "$dir/work" clean -qfdx
}

github_scene() { # name json
	curl -fsS -X POST -H 'Content-Type: application/json' -d "$2" "http://127.0.0.1:$github_port/_test/$1" ||
		fail "the double of GitHub does not take $1"
}

start_model() {
	mkdir -p "$dir/model"
	cp "$root"/deploy/demo/answers/*.json "$dir/model/"
	[ -z "${DEMO_SABOTAGE:-}" ] || rm "$dir/model/2.json"
	secret_of model >/dev/null
	launch model python3 "$root/tests/e2e/lib_model.py" "$model_port" "$dir/model"
	wait_for 10 "the scripted model listens" port_open "$model_port"
}

write_ci_config() {
	write_config "[]"
	cat >>"$dir/config/monitor.yaml" <<-END
		github: { secret_file: $dir/secret/hook, own_login: "healbus[bot]" }
	END
	cat >>"$dir/config/reasoner.yaml" <<-END
		github: { api_url: "http://127.0.0.1:$github_port/api/v3", token_file: $dir/secret/github }
		models:
		  providers:
		    - { name: scripted, kind: openai_chat, url: "http://127.0.0.1:$model_port/v1/chat/completions",
		        model: scripted, key_file: $dir/secret/model, price_in: 0.15, price_out: 0.60 }
		  budget: { incident: { tokens: 200000 } }
		  jitter: 0s
	END
	cat >"$dir/config/executor.yaml" <<-END
		state_dir: $dir/state/executor
		http: { listen: "127.0.0.1:$executor_port" }
		tools_dir: $root/executor/tools
		decision_key_file: $dir/state/notifier/decision.key.pub
		github: { api_url: "http://127.0.0.1:$github_port/api/v3", token_file: $dir/secret/github }
		git: { protocols: "http" }
		rate: { cooldown: 1s }
		autonomy: approve
		rules:
		  - { match: ['repository="$repository"'], autonomy: auto, max_level: soft }
		targets:
		  - id: ${repository/\//_}
		    kind: repository
		    tools: ["code_*", "pull_request_*"]
		    attributes:
		      repository: $repository
		      url: "http://127.0.0.1:$github_port/$repository.git"
		      default_branch: main
		      checks: [[/usr/bin/make, test]]
	END
}

# A delivery as GitHub signs it.
deliver() { # event json
	local signature
	signature=$(printf '%s' "$2" | openssl dgst -sha256 -hmac "$hook" -r | cut -d' ' -f1)
	printf '%s' "$2" | curl -fsS -X POST -H 'Content-Type: application/json' -H "X-GitHub-Event: $1" \
		-H "X-GitHub-Delivery: $(cat /proc/sys/kernel/random/uuid)" -H "X-Hub-Signature-256: sha256=$signature" \
		--data-binary @- "http://127.0.0.1:$monitor_port/webhook/github" >>"$dir/log/deliveries" ||
		fail "the monitor does not take the delivery"
}

job_failed() {
	jq -nc --arg repository "$repository" --arg branch "$branch" --arg sha "$sha" '{
		action: "completed",
		workflow_job: {id: 2001, run_id: 1001, run_attempt: 1, name: "test", workflow_name: "CI", head_branch: $branch,
			head_sha: $sha, status: "completed", conclusion: "failure", started_at: "2026-11-21T12:00:00Z",
			completed_at: "2026-11-21T12:00:40Z", html_url: "https://github.example/octo-org/calc/actions/runs/1001",
			steps: [{name: "make test", number: 2, status: "completed", conclusion: "failure"}]},
		repository: {full_name: $repository, default_branch: "main"}, sender: {login: "kim", type: "User"},
		installation: {id: 7}}'
}

run_succeeded() { # sha
	jq -nc --arg repository "$repository" --arg branch "$branch" --arg sha "$1" '{
		action: "completed",
		workflow_run: {id: 1002, run_attempt: 1, name: "CI", head_branch: $branch, head_sha: $sha, status: "completed",
			conclusion: "success", run_started_at: (now | todate), updated_at: (now | todate),
			head_commit: {message: "Let add() add"}, pull_requests: []},
		repository: {full_name: $repository, default_branch: "main"}, sender: {login: "kim", type: "User"},
		installation: {id: 7}}'
}

keep_record() { # directory
	cp "$dir/log/github-requests.jsonl" "$dir/model/requests.jsonl" "$1/"
	"$build/healbus-monitor" -c "$dir/config" record "$1/bus" >"$dir/log/record" || fail "nothing is recorded"
	mkdir -p "$1/config"
	cp "$dir/config/"{monitor,reasoner}.yaml "$1/config/"
}

# The commit on our branch, once there is one.
pushed() {
	git -C "$dir/repositories/$repository.git" for-each-ref --format='%(objectname)' refs/heads/fix/ | head -n 1
}

answered() {
	github_scene get "{\"repository\": \"$repository\"}" | jq -e '.pulls | length > 0' ||
		"$build/healctl" incidents --json | grep -q '"escalated"'
}
