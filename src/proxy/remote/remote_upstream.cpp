#include "proxy/remote/remote_upstream.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <optional>
#include <utility>

#include "core/defaults.hpp"
#include "proxy/http/codec.hpp"

namespace trireme::proxy {

namespace {

/// Where OpenAI's API is at a server of its own.
constexpr std::string_view openai_root = "/v1";

Result<std::string> read_key(const RemoteEndpoint& endpoint) {
  std::string key;
  if (!endpoint.key_env.empty()) {
    const char* value = std::getenv(endpoint.key_env.c_str());
    if (value == nullptr) {
      return Error{.what = "the environment variable " + endpoint.key_env + ", which should hold its key, is not set"};
    }
    key = value;
  } else if (!endpoint.key_file.empty()) {
    std::ifstream file(endpoint.key_file);
    if (!std::getline(file, key)) {
      return Error{.what = "cannot read its key from " + endpoint.key_file};
    }
    key.erase(key.find_last_not_of(" \t\r\n") + 1);
  }
  const bool printable = std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!printable) return Error{.what = "its key holds characters that no header may have"};
  return key;
}

struct UrlParts {
  std::string origin;  ///< "https://example.org:8443"
  std::string host;
};

std::string part_of(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return {};
  std::string out(text);
  curl_free(text);
  return out;
}

/// For words and for the choice of a proxy: nothing here that could be a secret.
UrlParts parse_url(const std::string& text) {
  CURLU* url = curl_url();
  UrlParts parts;
  if (url != nullptr && curl_url_set(url, CURLUPART_URL, text.c_str(), 0) == CURLUE_OK) {
    parts.host = part_of(url, CURLUPART_HOST);
    parts.origin = part_of(url, CURLUPART_SCHEME) + "://" + parts.host;
    if (const std::string port = part_of(url, CURLUPART_PORT); !port.empty()) parts.origin += ":" + port;
  }
  curl_url_cleanup(url);
  return parts;
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "[::1]" || host == "::1" || host.starts_with("127.");
}

CallError::Kind kind_of(CURLcode code, bool sent) {
  switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PROXY:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
      return CallError::Kind::not_delivered;
    case CURLE_OPERATION_TIMEDOUT:
      return sent ? CallError::Kind::timeout : CallError::Kind::not_delivered;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
      return CallError::Kind::bad_response;
    default:
      return CallError::Kind::lost;
  }
}

/// What a failure says of the endpoint. Names, certificates and keys that are wrong are wrong for every request, so it is
/// better said to each than waited for.
CallError::Blame blame_of(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return CallError::Blame::proof;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
      return CallError::Blame::none;
    default:
      return CallError::Blame::some;
  }
}

/// Headers in which clients carry credentials, which are for us, or meant for somebody else.
bool is_credential(std::string_view name) {
  constexpr std::string_view names[] = {"Authorization", "Cookie", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"};
  return std::any_of(std::begin(names), std::end(names), [&](auto n) { return http::iequals(n, name); });
}

bool is_clean(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && std::strchr(" \t\r\n", text.back()) != nullptr) text.remove_suffix(1);
  return text;
}

}  // namespace

/// The key, shared by the calls that use it.
struct RemoteUpstream::Credential {
  Result<std::string> key;  ///< empty where none is asked for
  bool rejected = false;    ///< by a 401: it may have been replaced
};

namespace {

using Credential = RemoteUpstream::Credential;

class RemoteCall final : public Call, private CurlTransfer {
 public:
  RemoteCall(CurlLoop& loop, std::string name, std::shared_ptr<Credential> credential, CallObserver& observer)
      : loop_(loop),
        name_(std::move(name)),
        credential_(std::move(credential)),
        observer_(observer),
        easy_(curl_easy_init()) {
    if (easy_ == nullptr) throw std::bad_alloc();
  }

  ~RemoteCall() override {
    end();
    curl_easy_cleanup(easy_);
    curl_slist_free_all(headers_);
  }

  void begin(const RemoteEndpoint& endpoint, ServiceApi api, const http::RequestHead& head, std::string_view first,
             bool complete) {
    upward_ = first;
    whole_request_ = request_complete_ = complete;
    if (!credential_->key) {
      failure_ = CallError{CallError::Kind::not_delivered, name_ + ": " + credential_->key.error().text(),
                           CallError::Blame::none};
    } else if (!set_up(endpoint, api, *credential_->key, head)) {
      failure_ =
          CallError{CallError::Kind::not_delivered, name_ + " is not a URL that can be called", CallError::Blame::none};
    }
    // A call that cannot start is added all the same, to fail at the next turn as every other.
    if (failure_) curl_easy_setopt(easy_, CURLOPT_URL, "");
    loop_.add(easy_, *this);
    added_ = true;
  }

  std::size_t window() const override {
    const std::size_t held = upward_.size() - sent_;
    return held >= defaults::stream_window ? 0 : defaults::stream_window - held;
  }
  void send(std::string_view data) override {
    if (sent_ > 0) upward_.erase(0, std::exchange(sent_, 0));
    upward_.append(data);
    go_on(send_paused_);
  }
  void send_end() override {
    request_complete_ = true;
    go_on(send_paused_);
  }
  void consumed(std::size_t bytes) override {
    unconsumed_ -= std::min(bytes, unconsumed_);
    if (unconsumed_ < defaults::stream_window / 2) go_on(receive_paused_);
  }

 private:
  bool set_up(const RemoteEndpoint& endpoint, ServiceApi api, const std::string& key, const http::RequestHead& head) {
    const std::string url = join_url(endpoint.url, head.target, api);
    const UrlParts parts = parse_url(url);
    if (parts.host.empty()) return false;
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_SSL_VERIFYPEER, 1L);
    set(CURLOPT_SSL_VERIFYHOST, 2L);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_CONNECTTIMEOUT_MS,
        static_cast<long>(std::chrono::milliseconds(defaults::upstream_connect_timeout).count()));
    set(CURLOPT_ERRORBUFFER, words_);
    if (!endpoint.ca_file.empty()) set(CURLOPT_CAINFO, endpoint.ca_file.c_str());
    if (is_loopback(parts.host)) set(CURLOPT_PROXY, "");

    set(CURLOPT_HEADERFUNCTION, &on_header);
    set(CURLOPT_HEADERDATA, this);
    set(CURLOPT_WRITEFUNCTION, &on_write);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_READFUNCTION, &on_read);
    set(CURLOPT_READDATA, this);
    set(CURLOPT_SEEKFUNCTION, &on_seek);
    set(CURLOPT_SEEKDATA, this);

    const bool has_body = head.body.kind != http::Body::Kind::none;
    if (head.method == "HEAD") {
      set(CURLOPT_NOBODY, 1L);
    } else if (has_body) {
      set(CURLOPT_UPLOAD, 1L);
      const bool known = head.body.kind == http::Body::Kind::length;
      const auto length = known               ? static_cast<curl_off_t>(head.body.length)
                          : request_complete_ ? static_cast<curl_off_t>(upward_.size())
                                              : curl_off_t{-1};
      set(CURLOPT_INFILESIZE_LARGE, length);
    } else {
      set(CURLOPT_HTTPGET, 1L);
    }
    if (head.method != "HEAD") set(CURLOPT_CUSTOMREQUEST, head.method.c_str());

    for (const http::Header header : head.headers) {
      if (http::iequals(header.name, "Host") || http::iequals(header.name, "Expect") || is_credential(header.name)) {
        continue;
      }
      std::string line(header.name);
      add_header(header.value.empty() ? line.append(";") : line.append(": ").append(header.value));
    }
    if (!key.empty()) add_header("Authorization: Bearer " + key);
    if (!http::find(head.headers, "Accept")) add_header("Accept:");
    if (!has_body && (head.method == "POST" || head.method == "PUT" || head.method == "PATCH")) {
      add_header("Content-Length: 0");
    }
    add_header("Expect:");
    set(CURLOPT_HTTPHEADER, headers_);
    return true;
  }

  template <typename T>
  void set(CURLoption option, T value) {
    curl_easy_setopt(easy_, option, value);
  }
  void add_header(const std::string& line) { headers_ = curl_slist_append(headers_, line.c_str()); }

  void go_on(bool paused) {
    if (paused && added_) {
      // libcurl goes on in both directions; one that still has to wait pauses again.
      send_paused_ = receive_paused_ = false;
      loop_.resume(easy_);
    }
  }

  void end() {
    if (std::exchange(added_, false)) loop_.remove(easy_);
  }

  // From libcurl. Bytes and facts are noted; the observer hears of them in on_progress().

  static std::size_t on_header(char* data, std::size_t, std::size_t size, void* self) {
    static_cast<RemoteCall*>(self)->take_header(std::string_view(data, size));
    return size;
  }
  static std::size_t on_write(char* data, std::size_t, std::size_t size, void* self) {
    return static_cast<RemoteCall*>(self)->take_body(std::string_view(data, size));
  }
  static std::size_t on_read(char* to, std::size_t, std::size_t room, void* self) {
    return static_cast<RemoteCall*>(self)->give_body(to, room);
  }
  static int on_seek(void* self, curl_off_t offset, int origin) {
    auto& call = *static_cast<RemoteCall*>(self);
    if (!call.whole_request_ || origin != SEEK_SET || offset != 0) return CURL_SEEKFUNC_CANTSEEK;
    call.sent_ = 0;
    return CURL_SEEKFUNC_OK;
  }

  void take_header(std::string_view line) {
    line = trimmed(line);
    if (head_complete_) return;  // a trailer
    if (line.starts_with("HTTP/")) {
      head_ = {};
      const std::size_t space = line.find(' ');
      if (space != std::string_view::npos) {
        const std::string_view rest = line.substr(space + 1);
        std::from_chars(rest.data(), rest.data() + std::min<std::size_t>(3, rest.size()), head_.status);
        if (rest.size() > 4 && is_clean(rest)) head_.reason = trimmed(rest.substr(4));
      }
      length_.reset();
    } else if (line.empty()) {
      if (head_.status < 200) return;
      if (head_.status == 401) credential_->rejected = true;
      head_complete_ = true;
      if (head_.reason.empty()) head_.reason = http::reason_phrase(head_.status);
      if (length_) {
        head_.body = {http::Body::Kind::length, *length_};
      } else if (head_.status != 204 && head_.status != 304) {
        head_.body = {http::Body::Kind::chunked, 0};
      }
      head_due_ = true;
      loop_.progressed(easy_);
    } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos && colon > 0) {
      const std::string_view name = line.substr(0, colon);
      const std::string_view value = trimmed(line.substr(colon + 1));
      if (http::iequals(name, "Content-Length")) {
        std::uint64_t length = 0;
        const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
        if (error == std::errc() && end == value.data() + value.size()) length_ = length;
        return;
      }
      constexpr std::string_view framing[] = {"Transfer-Encoding", "Connection", "Keep-Alive"};
      const bool ours =
          std::any_of(std::begin(framing), std::end(framing), [&](auto f) { return http::iequals(name, f); });
      if (!ours && is_clean(name) && is_clean(value) && name.find(' ') == std::string_view::npos) {
        head_.headers.push_back({name, value});
      }
    }
  }

  std::size_t take_body(std::string_view data) {
    if (downward_.size() + unconsumed_ >= defaults::stream_window) {
      receive_paused_ = true;
      return CURL_WRITEFUNC_PAUSE;
    }
    downward_.append(data);
    loop_.progressed(easy_);
    return data.size();
  }

  std::size_t give_body(char* to, std::size_t room) {
    const std::size_t size = std::min(room, upward_.size() - sent_);
    if (size == 0 && !request_complete_) {
      send_paused_ = true;
      return CURL_READFUNC_PAUSE;
    }
    std::memcpy(to, upward_.data() + sent_, size);
    sent_ += size;
    any_sent_ = true;
    window_due_ = true;
    loop_.progressed(easy_);
    return size;
  }

  // Outside of libcurl.

  void on_progress() override { deliver(); }

  /// Tells the observer what has come. False if that was the end of this object.
  bool deliver() {
    const std::weak_ptr<int> alive = alive_;
    if (std::exchange(head_due_, false)) {
      observer_.on_head(std::move(head_));
      if (alive.expired()) return false;
    }
    if (!downward_.empty()) {
      unconsumed_ += downward_.size();
      const std::string body = std::exchange(downward_, {});
      observer_.on_body(body);
      if (alive.expired()) return false;
    }
    if (std::exchange(window_due_, false) && !request_complete_) {
      observer_.on_window();
      if (alive.expired()) return false;
    }
    return true;
  }

  void on_finished(int code) override {
    if (!deliver()) return;
    const auto result = static_cast<CURLcode>(code);
    long os_error = 0;
    curl_easy_getinfo(easy_, CURLINFO_OS_ERRNO, &os_error);
    end();
    if (failure_) {
      observer_.on_error(*std::exchange(failure_, std::nullopt));
    } else if (result == CURLE_OK && head_complete_) {
      observer_.on_end();
    } else if (result == CURLE_OK) {
      observer_.on_error({CallError::Kind::bad_response, name_ + " sent no HTTP response"});
    } else {
      std::string what = name_ + ": ";
      what += words_[0] != '\0' ? words_ : curl_easy_strerror(result);
      observer_.on_error({kind_of(result, any_sent_), std::move(what), blame_of(result)});
    }
  }

  CurlLoop& loop_;
  const std::string name_;
  const std::shared_ptr<Credential> credential_;
  CallObserver& observer_;
  CURL* easy_;
  curl_slist* headers_ = nullptr;
  bool added_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  char words_[CURL_ERROR_SIZE] = {};
  std::optional<CallError> failure_;

  // The request.
  std::string upward_;
  std::size_t sent_ = 0;        ///< of upward_
  bool whole_request_ = false;  ///< upward_ is the whole body, so it can be sent once more on another connection
  bool request_complete_ = false;
  bool any_sent_ = false;
  bool send_paused_ = false;
  bool window_due_ = false;

  // The answer.
  http::ResponseHead head_;
  std::optional<std::uint64_t> length_;
  bool head_complete_ = false;
  bool head_due_ = false;
  std::string downward_;
  std::size_t unconsumed_ = 0;
  bool receive_paused_ = false;
};

}  // namespace

std::string join_url(std::string_view base, std::string_view target, ServiceApi api) {
  while (base.ends_with('/')) base.remove_suffix(1);
  const std::size_t scheme = base.find("://");
  const std::size_t slash = scheme == std::string_view::npos ? std::string_view::npos : base.find('/', scheme + 3);
  std::string_view path = slash == std::string_view::npos ? std::string_view() : base.substr(slash);
  const auto begins_with = [&](std::string_view part) {
    return target.starts_with(part) &&
           (target.size() == part.size() || target[part.size()] == '/' || target[part.size()] == '?');
  };
  if (!path.empty() && api == ServiceApi::openai && begins_with(openai_root)) {
    target.remove_prefix(openai_root.size());
    return std::string(base).append(target);
  }
  while (!path.empty() && !begins_with(path)) path.remove_prefix(std::min(path.find('/', 1), path.size()));
  target.remove_prefix(path.size());
  return std::string(base).append(target);
}

RemoteUpstream::RemoteUpstream(CurlLoop& loop, const RemoteEndpoint& endpoint, ServiceApi api, std::string name)
    : loop_(loop),
      endpoint_(endpoint),
      api_(api),
      name_(std::move(name) + " (" + parse_url(endpoint.url).origin + ")"),
      credential_(std::make_shared<Credential>(Credential{.key = read_key(endpoint)})) {}

std::unique_ptr<Call> RemoteUpstream::open(const http::RequestHead& head, std::string_view first, bool complete,
                                           CallObserver& observer) {
  if (!credential_->key || credential_->rejected) *credential_ = {.key = read_key(endpoint_)};
  auto call = std::make_unique<RemoteCall>(loop_, name_, credential_, observer);
  call->begin(endpoint_, api_, head, first, complete);
  return call;
}

}  // namespace trireme::proxy
