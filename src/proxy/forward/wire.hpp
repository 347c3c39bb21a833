// Proxies' messages as bytes (docs/spec/admission.md): admission, and requests forwarded from ingress to owner.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/ids.hpp"
#include "fabric/transport.hpp"
#include "proxy/admission/messages.hpp"
#include "proxy/call.hpp"
#include "proxy/http/head.hpp"

namespace trireme::proxy {

/// Ingress to owner: a request, with the beginning of its body.
struct CallOpen {
  std::uint64_t call = 0;  ///< numbered by the ingress
  ReplicaId replica;
  std::uint64_t reservation = 0;  ///< 0: none
  bool complete = false;          ///< `first` is the whole body
  http::RequestHead head;
  std::string first;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(call, replica, reservation, complete, head, first);
  }
};

/// Owner to ingress: an answer begins.
struct CallHead {
  std::uint64_t call = 0;
  LoadReport load;
  http::ResponseHead head;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(call, load, head);
  }
};

/// Owner to ingress: the attempt has failed.
struct CallFailure {
  std::uint64_t call = 0;
  LoadReport load;
  CallError::Kind kind = CallError::Kind::lost;
  std::string what;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(call, load, kind, what);
  }
};

/// Who sends a message that goes both ways: the same number may stand for a call of either rank.
enum class CallSide : std::uint8_t { ingress, owner };

/// Both ways: so many bytes more may be sent.
struct CallWindow {
  CallSide side = CallSide::ingress;
  std::uint64_t call = 0;
  std::uint64_t bytes = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(side, call, bytes);
  }
};

/// Ingress to owner: nobody wants the answer any more.
struct CallCancel {
  std::uint64_t call = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(call);
  }
};

/// Both ways: body bytes, which are a view into the message.
struct CallData {
  CallSide side = CallSide::ingress;
  std::uint64_t call = 0;
  bool end = false;
  LoadReport load;     ///< from the owner, with the end
  Duration served{0};  ///< from the owner, with the end: what the replica took
  std::string_view bytes;
};

/// Reading gives nothing where the bytes are no such message, or are from the other side.
std::optional<CallOpen> read_open(std::string_view bytes);
std::optional<CallHead> read_head(std::string_view bytes);
std::optional<CallFailure> read_failure(std::string_view bytes);
std::optional<CallWindow> read_window(std::string_view bytes, CallSide side);
std::optional<CallCancel> read_cancel(std::string_view bytes);
std::optional<CallData> read_data(std::string_view bytes, CallSide side);
std::string write(const CallOpen& message);
std::string write(const CallHead& message);
std::string write(const CallFailure& message);
std::string write(const CallWindow& message);
std::string write(const CallCancel& message);
std::string write(const CallData& message);

MessageKind kind_of(const AdmissionMessage& message);
std::string write(const AdmissionMessage& message);
std::optional<AdmissionMessage> read_admission(MessageKind kind, std::string_view bytes);

}  // namespace trireme::proxy
