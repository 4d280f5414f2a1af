# A small client of OSS: put, get and list with signature V1. Needs curl and openssl.
# Neither the secret nor a signature is an argument of a command, where a list of processes would show it.

# HMAC-SHA1 of standard input with the key $1, as binary. The key has at most 64 bytes of ASCII.
hmac_sha1() {
    local inner= outer= index code
    for ((index = 0; index < 64; index++)); do
        code=0
        if ((index < ${#1})); then printf -v code %d "'${1:index:1}"; fi
        printf -v inner '%s\\x%02x' "$inner" $((code ^ 0x36))
        printf -v outer '%s\\x%02x' "$outer" $((code ^ 0x5c))
    done
    { printf %b "$outer"; { printf %b "$inner"; cat; } | openssl dgst -sha1 -binary; } | openssl dgst -sha1 -binary
}

# oss METHOD KEY [ARGUMENT OF CURL]...: sends a request and prints the body of the answer. KEY is as it is in a URL.
oss() {
    local method=$1 key=$2 date signature url
    shift 2
    date=$(LC_ALL=C TZ=GMT date '+%a, %d %b %Y %H:%M:%S GMT')
    signature=$(printf '%s\n\n\n%s\n/%s/%s' "$method" "$date" "$BUCKET" "${key%%\?*}" | hmac_sha1 "$KEY" | openssl base64)
    case $ALI_DIKU_OSS_HOST in
        *[!0-9.:]*) url=http://$BUCKET.$ALI_DIKU_OSS_HOST/$key ;;
        *) url=http://$ALI_DIKU_OSS_HOST/$BUCKET/$key ;; # an IP address
    esac
    printf 'Date: %s\nAuthorization: OSS %s:%s\n' "$date" "$ID" "$signature" |
        curl --silent --show-error --fail --request "$method" --header @- "$@" "$url"
}

# oss_put FILE KEY
oss_put() { oss PUT "$2" --upload-file "$1"; }

# oss_get KEY FILE
oss_get() { oss GET "$1" --output "$2"; }

# oss_list PREFIX: up to 1000 keys, one a line.
oss_list() { oss GET "?prefix=$1&max-keys=1000" | grep -o '<Key>[^<]*' | cut -c 6-; }
