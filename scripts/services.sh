#!/usr/bin/env bash
# Real servers without containers: Kafka (KRaft, one broker), Redis and PostgreSQL on free ports of this machine.
#   start [OPTION]... [DIR]               start what does not run yet, wait until it answers, write DIR/env
#   stop [DIR]                            stop what was started there, by process id
#   status [DIR]                          what runs and answers; fails where something does not
#   env [DIR]                             print DIR/env: where the servers are, as `export` lines
#   run [OPTION]... [DIR] -- COMMAND...   start in an emptied DIR, run COMMAND with that environment, stop
#   jars                                  the folder of Kafka's jars, fetched when missing
# Options:
#   --only NAMES            some of kafka,redis,postgres, with commas
#   --secure                further ports: SASL_SSL for Kafka, TLS and a user with few rights for Redis; TLS for PostgreSQL
#   --kafka KEY=VALUE       a further line of server.properties; it beats the ones below
#   --redis 'KEY VALUE'     a further line of redis.conf, likewise
#   --postgres 'KEY=VALUE'  a further line of postgresql.conf, likewise
# DIR is target/services, of `run` target/services-run; a second start there finds its data and ports again.
# Where QUOTEGUARD_TEST_KAFKA, QUOTEGUARD_TEST_REDIS or QUOTEGUARD_TEST_POSTGRES is set, that server is asked to answer, and none is
# started in its place.
# QUOTEGUARD_KAFKA_JVM replaces the broker's JVM flags, which are for a fast start and little memory.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

WAIT_SECS=90
POM=$root/scripts/kafka.pom.xml
JVM=${QUOTEGUARD_KAFKA_JVM:--Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1}
SECURE_USER=quoteguard

fail() {
    echo "services.sh: $*" >&2
    exit 1
}

# --- ports and processes

# PORT...: nobody listens there.
are_free() {
    local port
    for port in "$@"; do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return 1
    done
    return 0
}

# COUNT -> that many free ports, below those the system gives to outgoing connections.
free_ports() {
    local port ports=()
    while [ "${#ports[@]}" -lt "$1" ]; do
        port=$((16384 + (RANDOM * 32768 + RANDOM) % 16000))
        if [[ " ${ports[*]-} " != *" $port "* ]] && are_free "$port"; then
            ports+=("$port")
        fi
    done
    echo "${ports[@]}"
}

# HOME_OF_ONE_SERVER -> its process id, if the process with this id still is that server.
running() {
    local pid
    # Its working folder tells: an id is given again, and Redis writes over its own command line.
    pid=$(cat "$1/pid" 2>/dev/null) && [[ "$(readlink "/proc/$pid/cwd")/" == "$1/"* ]] && echo "$pid"
}

# HOME COMMAND... -> a process that outlives us, its id in HOME/pid, its output in HOME/log.
launch() {
    local home=$1
    shift
    cd "$home"
    setsid "$@" </dev/null >>log 2>&1 8>&- 9>&- &
    echo $! >pid
    cd - >/dev/null
}

# HOME CHECK...: waits until CHECK succeeds; fails at once when the process has ended.
await() {
    local home=$1 deadline=$((SECONDS + WAIT_SECS))
    shift
    until running "$home" >/dev/null && "$@"; do
        if ! running "$home" >/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
            return 1
        fi
        sleep 0.1
    done
}

# HOME SECONDS [SIGNAL] -> the signal, else SIGTERM, and SIGKILL after so many seconds.
end() {
    local pid deadline=$((SECONDS + $2))
    pid=$(running "$1") || { rm -f "$1/pid"; return 0; }
    kill "-${3:-TERM}" "$pid" 2>/dev/null || true
    kill -CONT "$pid" 2>/dev/null || true
    while running "$1" >/dev/null; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            kill -KILL "$pid" 2>/dev/null || true
        fi
        sleep 0.05
    done
    rm -f "$1/pid"
}

# HOME: its ports of before are there, and free as soon as a process that was just killed is gone.
keep_ports() {
    local ports deadline=$((SECONDS + 3))
    read -ra ports <"$1/ports" || return 1
    until are_free "${ports[@]}"; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.05
    done
} 2>/dev/null

# NAME COUNT: launches NAME and awaits it, on the COUNT ports it had before or, where they are taken, on other ones.
bring_up() {
    local name=$1 home=$dir/$1 attempt
    if running "$home" >/dev/null; then
        "answers_$name" "$home" || fail "$name runs (process $(cat "$home/pid")) and does not answer; its log: $home/log"
        return
    fi
    mkdir -p "$home"
    for attempt in 1 2 3; do
        keep_ports "$home" || free_ports "$2" >"$home/ports"
        : >"$home/log"
        "launch_$name" "$home"
        if await "$home" "answers_$name" "$home"; then
            return
        fi
        end "$home" 5
        # Another process may have been faster by a moment.
        if ! grep -qi 'address already in use' "$home/log" || [ "$attempt" = 3 ]; then
            tail -n 30 "$home/log" >&2
            fail "$name did not answer; its log: $home/log"
        fi
    done
}

# --- Kafka

# The jars are shared by all folders and fetched once for a version.
jars() {
    local version jars
    version=$(sed -n '/<artifactId>kafka_/{n;s/.*<version>\(.*\)<.*/\1/p}' "$POM")
    jars=${XDG_CACHE_HOME:-$HOME/.cache}/quoteguard/kafka-$version
    if [ ! -d "$jars" ]; then
        mkdir -p "${jars%/*}"
        (
            flock 7
            if [ ! -d "$jars" ]; then
                echo "Fetching Kafka $version, once ..." >&2
                rm -rf "$jars.part"
                if ! mvn -B -C -f "$POM" org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies \
                    -DincludeScope=runtime -DoutputDirectory="$jars.part" >"$jars.log" 2>&1; then
                    tail -n 30 "$jars.log" >&2
                    fail "Kafka's jars were not fetched"
                fi
                mv "$jars.part" "$jars"
            fi
        ) 7>"${jars%/*}/lock"
    fi
    echo "$jars"
}

launch_kafka() {
    local home=$1 broker controller secure scram=() java cluster
    # shellcheck disable=SC2206  # flags, one a word
    java=(java $JVM -Dlog4j2.level=INFO -cp "$(jars)/*")
    read -r broker controller secure <"$home/ports"
    if [ -n "$is_secure" ]; then
        scram=(--add-scram "SCRAM-SHA-512=[name=$SECURE_USER,password=$(cat "$dir/secure/password")]")
    fi
    kafka_properties "$home" "$broker" "$controller" "$secure" >"$home/server.properties"
    if [ ! -f "$home/data/meta.properties" ]; then
        rm -rf "$home/data"
        cluster=$(head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | tr -d '=')
        if ! "${java[@]}" kafka.tools.StorageTool format -t "$cluster" -c "$home/server.properties" "${scram[@]}" \
            >"$home/log" 2>&1; then
            cat "$home/log" >&2
            fail "Kafka's storage was not formatted"
        fi
    fi
    launch "$home" "${java[@]}" kafka.Kafka "$home/server.properties"
}

# HOME BROKER_PORT CONTROLLER_PORT SECURE_PORT
kafka_properties() {
    local listeners="PLAINTEXT://127.0.0.1:$2"
    if [ -n "$is_secure" ]; then
        listeners+=",SECURE://127.0.0.1:$4"
        cat <<EOF
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location=$dir/secure/server.pem
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
 user_$SECURE_USER="$(cat "$dir/secure/password")";
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
EOF
    fi
    cat <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$3
controller.listener.names=CONTROLLER
listeners=$listeners,CONTROLLER://127.0.0.1:$3
advertised.listeners=$listeners
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$1/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
log.cleaner.dedupe.buffer.size=8388608
EOF
    printf '%s\n' "${kafka_lines[@]}"
}

# HOST PORT: a broker that is told about itself by its controller takes records. Metadata request, version 1, of no topic.
broker_answers() {
    local answer
    # shellcheck disable=SC2016  # expanded by the inner shell
    answer=$(timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"
        printf "\x00\x00\x00\x0e\x00\x03\x00\x01\x00\x00\x00\x07\xff\xff\x00\x00\x00\x00" >&3
        head -c 12 <&3 | od -An -tu1 -w12' "$1" "$2" 2>/dev/null) || return 1
    # Length, our correlation id, number of brokers.
    [[ $answer =~ ^(\ +[0-9]+){4}\ +0\ +0\ +0\ +7\ +0\ +0\ +0\ +[1-9] ]]
}

answers_kafka() {
    local port
    read -r port _ <"$1/ports" && broker_answers 127.0.0.1 "$port"
}

# --- Redis

launch_redis() {
    local home=$1 port secure
    read -r port secure <"$home/ports"
    mkdir -p "$home/data"
    redis_conf "$home" "$port" "$secure" >"$home/redis.conf"
    launch "$home" redis-server "$home/redis.conf"
}

# HOME PORT SECURE_PORT
redis_conf() {
    cat <<EOF
bind 127.0.0.1
port $2
dir $1/data
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
EOF
    if [ -n "$is_secure" ]; then
        local rights="+@read +@write +@scripting +@connection +@transaction -@dangerous +info +config|get"
        cat <<EOF
tls-port $3
tls-cert-file $dir/secure/server.pem
tls-key-file $dir/secure/server.pem
tls-ca-cert-file $dir/secure/ca.pem
tls-auth-clients no
user $SECURE_USER on >$(cat "$dir/secure/password") ~quoteguard:* $rights
EOF
    fi
    printf '%s\n' "${redis_lines[@]}"
}

redis_answers() {
    [ "$(timeout 5 redis-cli -u "$1" ping 2>/dev/null)" = PONG ]
}

answers_redis() {
    local port
    read -r port _ <"$1/ports" && redis_answers "redis://127.0.0.1:$port"
}

# --- PostgreSQL

# The server refuses to be root: then it is user postgres, who may pass the folders of root.
as_postgres=()
if [ "$(id -u)" -eq 0 ]; then
    as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups --inh-caps=+dac_override --ambient-caps=+dac_override)
fi

# Debian keeps the server's programs out of the path.
postgres_programs() {
    local newest
    newest=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    if [ -x "$newest/initdb" ]; then
        echo "$newest"
    else
        dirname "$(command -v initdb)"
    fi
}

launch_postgres() {
    local home=$1 programs port process
    programs=$(postgres_programs)
    read -r port <"$home/ports"
    # What a killed server has left behind ends by itself, and until then keeps the next one out.
    for process in /proc/[0-9]*; do
        while [ "$(readlink "$process/cwd" 2>/dev/null)" = "$home/data" ]; do
            sleep 0.05
        done
    done
    # It names a process that is gone, and may not be reaped yet.
    rm -f "$home/data/postmaster.pid"
    [ "$(id -u)" -ne 0 ] || chown postgres "$home"
    if [ ! -f "$home/data/PG_VERSION" ]; then
        rm -rf "$home/data"
        if ! "${as_postgres[@]}" "$programs/initdb" -D "$home/data" -U postgres -A trust -E UTF8 --locale=C --no-sync \
            >"$home/log" 2>&1; then
            cat "$home/log" >&2
            fail "PostgreSQL's data directory was not made"
        fi
    fi
    postgres_hba >"$home/hba.conf"
    postgres_conf "$home" "$port" >"$home/postgresql.conf"
    launch "$home" "${as_postgres[@]}" "$programs/postgres" -D "$home/data" \
        -c "config_file=$home/postgresql.conf" -c "hba_file=$home/hba.conf"
}

postgres_hba() {
    cat <<EOF
host all postgres 127.0.0.1/32 trust
hostssl all $SECURE_USER 127.0.0.1/32 scram-sha-256
EOF
}

# HOME PORT
postgres_conf() {
    cat <<EOF
listen_addresses = '127.0.0.1'
port = $2
unix_socket_directories = ''
max_connections = 200
shared_buffers = 64MB
EOF
    if [ -n "$is_secure" ]; then
        cp "$dir/secure/server.key" "$dir/secure/server.crt" "$1/"
        [ "$(id -u)" -ne 0 ] || chown postgres "$1/server.key" "$1/server.crt"
        printf '%s\n' "ssl = on" "ssl_key_file = '$1/server.key'" "ssl_cert_file = '$1/server.crt'"
    fi
    printf '%s\n' "${postgres_lines[@]}"
}

# URL: it takes statements.
postgres_answers() {
    [ "$(PGCONNECT_TIMEOUT=5 psql -XAtq "$1" -c 'SELECT 1' 2>/dev/null)" = 1 ]
}

answers_postgres() {
    local port
    read -r port <"$1/ports" && postgres_answers "postgres://postgres@127.0.0.1:$port/postgres"
}

# Who comes in by TLS only, with the password of the other servers.
secure_postgres() {
    local port
    read -r port <"$dir/postgres/ports"
    psql -XAtq "postgres://postgres@127.0.0.1:$port/postgres" -v "password=$(cat "$dir/secure/password")" >/dev/null <<EOF
SELECT 'CREATE ROLE $SECURE_USER LOGIN CREATEDB' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$SECURE_USER') \gexec
ALTER ROLE $SECURE_USER PASSWORD :'password';
EOF
}

# --- certificates

# A CA of our own, one certificate for both servers, a random password.
make_secrets() {
    local secure=$dir/secure
    [ -f "$secure/password" ] && return
    mkdir -p "$secure"
    (
        cd "$secure"
        umask 077
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=quoteguard test CA" \
            -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" -keyout ca.key -out ca.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" -keyout server.key -out server.csr
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out server.crt \
            -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n')
        cat server.key server.crt >server.pem
        openssl rand -hex 24 >password
    ) 2>"$secure/log" || { cat "$secure/log" >&2; fail "no certificates were made"; }
}

# --- commands

wants() {
    [ -z "$only" ] || [[ ",$only," == *",$1,"* ]]
}

start() {
    mkdir -p "$dir"
    exec 9>"$dir/lock"
    flock 9
    [ -z "$is_secure" ] || make_secrets
    rm -f "$dir/env"
    if wants kafka; then
        if [ -n "${QUOTEGUARD_TEST_KAFKA:-}" ]; then
            local first=${QUOTEGUARD_TEST_KAFKA%%,*}
            broker_answers "${first%:*}" "${first##*:}" || fail "no broker answers at QUOTEGUARD_TEST_KAFKA=$first"
        else
            bring_up kafka 3
        fi
    fi
    if wants redis; then
        if [ -n "${QUOTEGUARD_TEST_REDIS:-}" ]; then
            redis_answers "$QUOTEGUARD_TEST_REDIS" || fail "no Redis answers at QUOTEGUARD_TEST_REDIS"
        else
            bring_up redis 2
        fi
    fi
    if wants postgres; then
        if [ -n "${QUOTEGUARD_TEST_POSTGRES:-}" ]; then
            postgres_answers "$QUOTEGUARD_TEST_POSTGRES" || fail "no PostgreSQL answers at QUOTEGUARD_TEST_POSTGRES"
        else
            bring_up postgres 1
            [ -z "$is_secure" ] || secure_postgres
        fi
    fi
    write_env >"$dir/env.new"
    mv "$dir/env.new" "$dir/env"
    exec 9>&-
}

write_env() {
    local port controller secure
    if wants kafka && [ -n "${QUOTEGUARD_TEST_KAFKA:-}" ]; then
        echo "export QUOTEGUARD_TEST_KAFKA='$QUOTEGUARD_TEST_KAFKA'"
    elif wants kafka; then
        read -r port controller secure <"$dir/kafka/ports"
        echo "export QUOTEGUARD_TEST_KAFKA=127.0.0.1:$port"
        [ -z "$is_secure" ] || echo "export QUOTEGUARD_TEST_KAFKA_SECURE=127.0.0.1:$secure"
    fi
    if wants redis && [ -n "${QUOTEGUARD_TEST_REDIS:-}" ]; then
        echo "export QUOTEGUARD_TEST_REDIS='$QUOTEGUARD_TEST_REDIS'"
    elif wants redis; then
        read -r port secure <"$dir/redis/ports"
        echo "export QUOTEGUARD_TEST_REDIS=redis://127.0.0.1:$port"
        [ -z "$is_secure" ] || echo "export QUOTEGUARD_TEST_REDIS_SECURE=rediss://127.0.0.1:$secure"
    fi
    if wants postgres && [ -n "${QUOTEGUARD_TEST_POSTGRES:-}" ]; then
        echo "export QUOTEGUARD_TEST_POSTGRES='$QUOTEGUARD_TEST_POSTGRES'"
    elif wants postgres; then
        read -r port <"$dir/postgres/ports"
        echo "export QUOTEGUARD_TEST_POSTGRES=postgres://postgres@127.0.0.1:$port/postgres"
        [ -z "$is_secure" ] || echo "export QUOTEGUARD_TEST_POSTGRES_SECURE=postgres://$SECURE_USER@127.0.0.1:$port/postgres"
    fi
    if [ -n "$is_secure" ]; then
        echo "export QUOTEGUARD_TEST_CA='$dir/secure/ca.pem'"
        echo "export QUOTEGUARD_TEST_USER=$SECURE_USER"
        echo "export QUOTEGUARD_TEST_PASSWORD_FILE='$dir/secure/password'"
    fi
}

stop() {
    end "$dir/redis" 10
    end "$dir/kafka" 20
    # Without waiting for those who are connected.
    end "$dir/postgres" 10 INT
    rm -f "$dir/env"
}

status() {
    local name status=0
    for name in kafka redis postgres; do
        if ! running "$dir/$name" >/dev/null; then
            echo "$name: not running"
            status=1
        elif "answers_$name" "$dir/$name"; then
            echo "$name: process $(cat "$dir/$name/pid") answers on port $(cut -d' ' -f1 "$dir/$name/ports")"
        else
            echo "$name: process $(cat "$dir/$name/pid") does not answer; its log: $dir/$name/log"
            status=1
        fi
    done
    return "$status"
}

run() {
    [ "$#" -gt 0 ] || fail "run needs a command after --"
    mkdir -p "${dir%/*}"
    exec 8>"$dir.lock"
    flock -n 8 || fail "another run uses $dir; name another folder"
    stop
    rm -rf "$dir"
    trap stop EXIT
    trap 'exit 130' INT TERM HUP
    start
    # shellcheck source=/dev/null
    . "$dir/env"
    "$@"
}

usage() {
    sed -n '2,/^set -/{/^# /s/^# //p}' "$0" >&2
    exit 2
}

command=${1:-}
[ "$#" -gt 0 ] && shift
only="" is_secure="" dir=""
kafka_lines=() redis_lines=() postgres_lines=()
while [ "$#" -gt 0 ]; do
    case "$1" in
        --only) only=${2:?--only needs kafka, redis or postgres, with commas}; shift ;;
        --secure) is_secure=yes ;;
        --kafka) kafka_lines+=("${2:?--kafka needs KEY=VALUE}"); shift ;;
        --redis) redis_lines+=("${2:?--redis needs KEY VALUE}"); shift ;;
        --postgres) postgres_lines+=("${2:?--postgres needs KEY=VALUE}"); shift ;;
        --) shift; break ;;
        -*) usage ;;
        *) [ -z "$dir" ] || usage; dir=$1 ;;
    esac
    shift
done
target=${CARGO_TARGET_DIR:-$root/target}
case "$command" in
    run) dir=$(realpath -m "${dir:-$target/services-run}") ;;
    *) dir=$(realpath -m "${dir:-$target/services}") ;;
esac

case "$command" in
    start) start; cat "$dir/env" ;;
    stop) stop ;;
    status) status ;;
    env) cat "$dir/env" 2>/dev/null || fail "nothing was started in $dir" ;;
    run) run "$@" ;;
    jars) jars ;;
    *) usage ;;
esac
