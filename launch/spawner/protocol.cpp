#include "launch/spawner/protocol.hpp"

#include <cstring>
#include <type_traits>
#include <utility>

namespace trireme::spawner {
namespace {

// A frame's kind is its message's place in the variant; reports are counted from here.
constexpr std::uint16_t first_report = 64;

struct Header {
  std::uint32_t length;
  std::uint16_t version;
  std::uint16_t kind;
};
static_assert(sizeof(Header) == header_bytes);

template <typename T>
concept Scalar = std::is_arithmetic_v<T> || std::is_enum_v<T>;

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  template <typename... T>
  void operator()(T&... values) {
    (put(values), ...);
  }

 private:
  template <Scalar T>
  void put(const T& value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put(const std::string& text) {
    put(static_cast<std::uint32_t>(text.size()));
    out_.append(text);
  }
  template <typename T>
  void put(std::vector<T>& list) {
    put(static_cast<std::uint32_t>(list.size()));
    for (T& element : list) put(element);
  }
  template <typename T>
    requires std::is_class_v<T>
  void put(T& value) {
    value.fields(*this);
  }

  std::string& out_;
};

class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  template <typename... T>
  void operator()(T&... values) {
    (get(values), ...);
  }
  /// Whether every field was there, and nothing else.
  bool complete() const { return ok_ && in_.empty(); }

 private:
  std::string_view take(std::size_t count) {
    if (count > in_.size()) ok_ = false;
    if (!ok_) return {};
    const auto taken = in_.substr(0, count);
    in_.remove_prefix(count);
    return taken;
  }
  template <Scalar T>
  void get(T& value) {
    const auto bytes = take(sizeof value);
    if (!ok_) return;
    if constexpr (std::is_same_v<T, bool>) {
      value = bytes[0] != 0;
    } else {
      std::memcpy(&value, bytes.data(), sizeof value);
    }
  }
  void get(std::string& text) {
    std::uint32_t size = 0;
    get(size);
    text = take(size);
  }
  template <typename T>
  void get(std::vector<T>& list) {
    std::uint32_t count = 0;
    get(count);
    // Every element takes at least four bytes, so a count beyond that is a lie that must not allocate.
    if (count > in_.size() / 4) ok_ = false;
    if (!ok_) return;
    list.resize(count);
    for (T& element : list) get(element);
  }
  template <typename T>
    requires std::is_class_v<T>
  void get(T& value) {
    value.fields(*this);
  }

  std::string_view in_;
  bool ok_ = true;
};

template <typename Variant>
bool encode_variant(const Variant& message, std::uint16_t first_kind, std::string& out) {
  const auto start = out.size();
  out.resize(start + header_bytes);
  std::visit(
      [&out](const auto& value) {
        // fields() serves both directions and is therefore not const; writing changes nothing.
        Writer writer(out);
        const_cast<std::remove_cvref_t<decltype(value)>&>(value).fields(writer);
      },
      message);
  const auto length = out.size() - start - header_bytes;
  if (length > max_frame) {
    out.resize(start);
    return false;
  }
  const Header header{static_cast<std::uint32_t>(length), protocol_version,
                      static_cast<std::uint16_t>(first_kind + message.index())};
  std::memcpy(out.data() + start, &header, sizeof header);
  return true;
}

template <typename Variant, std::size_t Index = 0>
std::optional<Variant> decode_variant(const FrameReader::Frame& frame, std::uint16_t first_kind) {
  if constexpr (Index == std::variant_size_v<Variant>) {
    return std::nullopt;
  } else {
    if (frame.kind != first_kind + Index) return decode_variant<Variant, Index + 1>(frame, first_kind);
    std::variant_alternative_t<Index, Variant> value;
    Reader reader(frame.body);
    value.fields(reader);
    if (!reader.complete()) return std::nullopt;
    return Variant(std::in_place_index<Index>, std::move(value));
  }
}

}  // namespace

bool encode(const Request& message, std::string& out) { return encode_variant(message, 0, out); }
bool encode(const Report& message, std::string& out) {
  return encode_variant(message, first_report, out);
}

std::optional<Request> decode_request(const FrameReader::Frame& frame) {
  return decode_variant<Request>(frame, 0);
}
std::optional<Report> decode_report(const FrameReader::Frame& frame) {
  return decode_variant<Report>(frame, first_report);
}

void FrameReader::feed(std::string_view bytes) {
  buffer_.erase(0, start_);
  start_ = 0;
  buffer_.append(bytes);
}

bool FrameReader::ready() const {
  if (failed_ || buffered() < header_bytes) return false;
  Header header;
  std::memcpy(&header, buffer_.data() + start_, sizeof header);
  const bool broken = header.version != protocol_version || header.length > max_frame;
  return broken || buffered() >= header_bytes + header.length;
}

std::optional<FrameReader::Frame> FrameReader::next() {
  if (!ready()) return std::nullopt;
  Header header;
  std::memcpy(&header, buffer_.data() + start_, sizeof header);
  if (header.version != protocol_version || header.length > max_frame) {
    failed_ = true;
    return std::nullopt;
  }
  const Frame frame{header.kind,
                    std::string_view(buffer_).substr(start_ + header_bytes, header.length)};
  start_ += header_bytes + header.length;
  return frame;
}

}  // namespace trireme::spawner
