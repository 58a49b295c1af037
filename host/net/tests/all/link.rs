//! The cloud link over real sockets: through a broker (mosquitto) where the broker's behaviour matters, through one of a
//! few lines where the broker has to misbehave, and through a proxy that does to the network what networks do.

mod bed;
mod delivery;
mod faults;
mod misbehaving;
mod tls;
