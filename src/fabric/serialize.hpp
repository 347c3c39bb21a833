// Messages as bytes and back. cereal stays in serialize.cpp; serialize_inl.hpp does the same for
// messages defined elsewhere.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "core/result.hpp"

namespace trireme {

/// Instantiated for ToAgent, FromAgent, EndpointEpoch, RuntimeRequest, RuntimeAnswer and RuntimeDrop.
template <typename T>
std::string encode(const T& message);

/// Several make one message: they stand one after the other.
template <typename T>
void append(std::string& bytes, const T& message);

/// Fails, with the reason, unless `bytes` are exactly one T. Never throws.
template <typename T>
Result<T> decode(std::string_view bytes);

/// Hands out what append() put there, one after the other. An error if one cannot be read; those before it have been handed
/// out then. For FromAgent; what goes the other way: orders.hpp.
template <typename T>
Status decode_each(std::string_view bytes, const std::function<void(T)>& take);

}  // namespace trireme
