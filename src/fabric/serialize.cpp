#include "fabric/serialize.hpp"

#include "core/endpoint.hpp"
#include "core/messages.hpp"
#include "fabric/serialize_inl.hpp"

namespace trireme {

template std::string encode(const ToAgent&);
template std::string encode(const FromAgent&);
template std::string encode(const EndpointEpoch&);
template Result<ToAgent> decode(std::string_view);
template Result<FromAgent> decode(std::string_view);
template Result<EndpointEpoch> decode(std::string_view);

}  // namespace trireme
