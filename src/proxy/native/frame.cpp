#include "proxy/native/frame.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "proxy/http/text.hpp"

namespace trireme::proxy::native {

static_assert(std::endian::native == std::endian::little, "frames are little-endian");

namespace {

constexpr std::uint8_t end_flag = 1;

template <typename T>
void put(std::string& out, T value) {
  std::array<char, sizeof(T)> bytes{};
  std::memcpy(bytes.data(), &value, sizeof value);
  out.append(bytes.data(), bytes.size());
}

template <typename Length>
void put_text(std::string& out, std::string_view text) {
  put(out, static_cast<Length>(text.size()));
  out.append(text);
}

/// Takes values off the front; once it has failed it stays so.
class Taker {
 public:
  explicit Taker(std::string_view bytes) : rest_(bytes) {}
  template <typename T>
  T number() {
    T value{};
    if (rest_.size() < sizeof value) {
      ok_ = false;
      return value;
    }
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }
  template <typename Length>
  std::string_view text() {
    const auto size = static_cast<std::size_t>(number<Length>());
    if (!ok_ || rest_.size() < size) {
      ok_ = false;
      return {};
    }
    const std::string_view out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }
  bool ok() const { return ok_; }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

/// What frames say themselves, or what is for one hop of HTTP.
bool is_framing(std::string_view name) {
  for (std::string_view no : {"Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "TE",
                              "Trailer", "Host", "Expect", "Proxy-Connection"}) {
    if (http::iequals(name, no)) return true;
  }
  return false;
}

bool fits(const http::Headers& headers) {
  if (headers.size() > 0xffff) return false;
  return std::all_of(headers.begin(), headers.end(),
                     [](const auto& h) { return h.name.size() <= 0xff && h.value.size() <= 0xffff; });
}

void put_headers(std::string& out, const http::Headers& headers) {
  const auto count = std::count_if(headers.begin(), headers.end(), [](const auto& h) { return !is_framing(h.name); });
  put(out, static_cast<std::uint16_t>(count));
  for (const http::Header& header : headers) {
    if (is_framing(header.name)) continue;
    put_text<std::uint8_t>(out, header.name);
    put_text<std::uint16_t>(out, header.value);
  }
}

bool take_headers(Taker& in, http::Headers& headers) {
  const auto count = in.number<std::uint16_t>();
  for (std::uint16_t i = 0; in.ok() && i < count; ++i) {
    const std::string_view name = in.text<std::uint8_t>();
    const std::string_view value = in.text<std::uint16_t>();
    if (!in.ok() || name.empty() || !http::all(http::token_char, name) || !http::all(http::value_char, value) ||
        is_framing(name)) {
      return false;
    }
    headers.push_back({std::string(name), std::string(value)});
  }
  return in.ok();
}

std::uint64_t length_of(const http::Body& body) {
  if (body.kind == http::Body::Kind::none) return 0;
  return body.kind == http::Body::Kind::length ? body.length : unknown_length;
}

http::Body body_of(std::uint64_t length) {
  if (length == unknown_length) return {http::Body::Kind::chunked, 0};
  return {http::Body::Kind::length, length};
}

/// Writes the size of a frame that has been written behind `begin`; takes back one that is too long.
bool seal(std::string& out, std::size_t begin) {
  const std::size_t payload = out.size() - begin - header_bytes;
  if (payload > max_payload) {
    out.resize(begin);
    return false;
  }
  const auto size = static_cast<std::uint32_t>(payload);
  std::memcpy(out.data() + begin, &size, sizeof size);
  return true;
}

}  // namespace

Parsed parse(std::string_view in, Frame& frame, std::size_t& consumed) {
  if (in.size() < header_bytes) return Parsed::more;
  Taker header(in);
  const auto size = header.number<std::uint32_t>();
  const auto type = header.number<std::uint8_t>();
  const auto flags = header.number<std::uint8_t>();
  const auto zero = header.number<std::uint16_t>();
  frame.id = header.number<std::uint64_t>();
  if (size > max_payload || type < 1 || type > static_cast<std::uint8_t>(Type::failure) || (flags & ~end_flag) != 0 ||
      zero != 0) {
    return Parsed::bad;
  }
  if (in.size() < header_bytes + size) return Parsed::more;
  frame.type = static_cast<Type>(type);
  frame.end = flags != 0;
  frame.payload = in.substr(header_bytes, size);
  consumed = header_bytes + size;
  return Parsed::done;
}

void append_header(std::string& out, Type type, bool end, std::uint64_t id, std::size_t payload) {
  std::array<char, header_bytes> bytes{};
  const auto size = static_cast<std::uint32_t>(payload);
  std::memcpy(bytes.data(), &size, sizeof size);
  bytes[4] = static_cast<char>(type);
  bytes[5] = static_cast<char>(end ? end_flag : 0);
  std::memcpy(bytes.data() + 8, &id, sizeof id);
  out.append(bytes.data(), bytes.size());
}

void append(std::string& out, const Frame& frame) {
  append_header(out, frame.type, frame.end, frame.id, frame.payload.size());
  out.append(frame.payload);
}

std::optional<Hello> read_hello(std::string_view payload) {
  Taker in(payload);
  Hello hello;
  hello.version = in.number<std::uint16_t>();
  hello.token = in.text<std::uint16_t>();
  if (!in.ok() || !in.rest().empty()) return std::nullopt;
  return hello;
}

std::optional<Welcome> read_welcome(std::string_view payload) {
  Taker in(payload);
  Welcome welcome;
  welcome.version = in.number<std::uint16_t>();
  welcome.window = in.number<std::uint32_t>();
  welcome.requests = in.number<std::uint32_t>();
  if (!in.ok() || !in.rest().empty()) return std::nullopt;
  return welcome;
}

std::optional<Request> read_request(std::string_view payload) {
  Taker in(payload);
  Request request;
  http::RequestHead& head = request.head;
  const auto length = in.number<std::uint64_t>();
  const std::string_view method = in.text<std::uint8_t>();
  const std::string_view target = in.text<std::uint16_t>();
  if (!in.ok() || method.empty() || !http::all(http::token_char, method) || !target.starts_with('/') ||
      !http::all(http::target_char, target) || !take_headers(in, head.headers)) {
    return std::nullopt;
  }
  head.method = method;
  head.target = target;
  head.body = body_of(length);
  request.body = in.rest();
  return request;
}

std::optional<Response> read_response(std::string_view payload) {
  Taker in(payload);
  Response response;
  const auto length = in.number<std::uint64_t>();
  response.head.status = in.number<std::uint16_t>();
  if (!in.ok() || response.head.status < 200 || response.head.status > 599 ||
      !take_headers(in, response.head.headers)) {
    return std::nullopt;
  }
  response.head.body = body_of(length);
  response.body = in.rest();
  return response;
}

std::optional<std::uint64_t> read_window(std::string_view payload) {
  Taker in(payload);
  const auto bytes = in.number<std::uint64_t>();
  if (!in.ok() || !in.rest().empty() || bytes == 0 || bytes > (std::uint64_t{1} << 32)) return std::nullopt;
  return bytes;
}

std::optional<Failure> read_failure(std::string_view payload) {
  Taker in(payload);
  Failure failure;
  failure.status = in.number<std::uint16_t>();
  failure.words = in.rest();
  if (!in.ok()) return std::nullopt;
  return failure;
}

void append_hello(std::string& out, const Hello& hello) {
  append_header(out, Type::hello, false, 0, 4 + hello.token.size());
  put(out, hello.version);
  put_text<std::uint16_t>(out, hello.token);
}

void append_welcome(std::string& out, const Welcome& welcome) {
  append_header(out, Type::welcome, false, 0, 10);
  put(out, welcome.version);
  put(out, welcome.window);
  put(out, welcome.requests);
}

bool append_request(std::string& out, std::uint64_t id, const http::RequestHead& head, std::string_view body,
                    bool end) {
  if (head.method.size() > 0xff || head.target.size() > 0xffff || !fits(head.headers)) return false;
  const std::size_t begin = out.size();
  append_header(out, Type::request, end, id, 0);
  put(out, length_of(head.body));
  put_text<std::uint8_t>(out, head.method);
  put_text<std::uint16_t>(out, head.target);
  put_headers(out, head.headers);
  out.append(body);
  return seal(out, begin);
}

bool append_response(std::string& out, std::uint64_t id, const http::ResponseHead& head, std::string_view body,
                     bool end) {
  if (!fits(head.headers)) return false;
  const std::size_t begin = out.size();
  append_header(out, Type::response, end, id, 0);
  put(out, length_of(head.body));
  put(out, static_cast<std::uint16_t>(head.status));
  put_headers(out, head.headers);
  out.append(body);
  return seal(out, begin);
}

void append_window(std::string& out, std::uint64_t id, std::uint64_t bytes) {
  append_header(out, Type::window, false, id, sizeof bytes);
  put(out, bytes);
}

void append_failure(std::string& out, std::uint64_t id, std::uint16_t status, std::string_view words) {
  const std::string_view kept = words.substr(0, 4096);
  append_header(out, Type::failure, true, id, sizeof status + kept.size());
  put(out, status);
  out.append(kept);
}

void append_data(std::string& out, std::uint64_t id, std::string_view bytes, bool end) {
  do {
    const std::string_view part = bytes.substr(0, max_payload);
    bytes.remove_prefix(part.size());
    append(out, {.type = Type::data, .end = end && bytes.empty(), .id = id, .payload = part});
  } while (!bytes.empty());
}

}  // namespace trireme::proxy::native
