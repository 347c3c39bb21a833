#include "native/codec.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "core/field_chars.hpp"

namespace trireme::frames {

static_assert(std::endian::native == std::endian::little, "frames are little-endian");

namespace {

constexpr std::uint8_t end_flag = 1;

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

using namespace field_chars;

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Checks headers and passes over them.
bool take_fields(Taker& in, Fields& fields) {
  const auto count = in.number<std::uint16_t>();
  const std::string_view begin = in.rest();
  for (std::uint16_t i = 0; in.ok() && i < count; ++i) {
    const std::string_view name = in.text<std::uint8_t>();
    const std::string_view value = in.text<std::uint16_t>();
    if (!in.ok() || name.empty() || !all(token_char, name) || !all(value_char, value) || is_framing(name)) return false;
  }
  if (!in.ok()) return false;
  fields = Fields(begin.substr(0, begin.size() - in.rest().size()), count);
  return true;
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

bool is_framing(std::string_view name) {
  constexpr std::string_view names[] = {
      "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "TE", "Trailer", "Host",
      "Expect",         "Proxy-Connection"};
  return std::any_of(std::begin(names), std::end(names), [&](std::string_view no) { return same_name(name, no); });
}

void put_field(std::string& out, const Field& field) {
  put_text<std::uint8_t>(out, field.name);
  put_text<std::uint16_t>(out, field.value);
}

bool Fields::next(Field& field) {
  if (count_ == 0) return false;
  --count_;
  Taker in(bytes_);
  field.name = in.text<std::uint8_t>();
  field.value = in.text<std::uint16_t>();
  bytes_ = in.rest();
  return true;
}

std::optional<std::string_view> find(Fields fields, std::string_view name) {
  Field field;
  while (fields.next(field)) {
    if (same_name(field.name, name)) return field.value;
  }
  return std::nullopt;
}

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

std::optional<RequestView> view_request(std::string_view payload) {
  Taker in(payload);
  RequestView request;
  request.length = in.number<std::uint64_t>();
  request.method = in.text<std::uint8_t>();
  request.target = in.text<std::uint16_t>();
  if (!in.ok() || request.method.empty() || !all(token_char, request.method) || !request.target.starts_with('/') ||
      !all(target_char, request.target) || !take_fields(in, request.headers)) {
    return std::nullopt;
  }
  request.body = in.rest();
  return request;
}

std::optional<ResponseView> view_response(std::string_view payload) {
  Taker in(payload);
  ResponseView response;
  response.length = in.number<std::uint64_t>();
  response.status = in.number<std::uint16_t>();
  if (!in.ok() || response.status < 200 || response.status > 599 || !take_fields(in, response.headers)) {
    return std::nullopt;
  }
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

void begin_request(std::string& out, std::uint64_t id, bool end, std::uint64_t length, std::string_view method,
                   std::string_view target, std::uint16_t headers) {
  append_header(out, Type::request, end, id, 0);
  put(out, length);
  put_text<std::uint8_t>(out, method);
  put_text<std::uint16_t>(out, target);
  put(out, headers);
}

void begin_response(std::string& out, std::uint64_t id, bool end, std::uint64_t length, std::uint16_t status,
                    std::uint16_t headers) {
  append_header(out, Type::response, end, id, 0);
  put(out, length);
  put(out, status);
  put(out, headers);
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

}  // namespace trireme::frames
