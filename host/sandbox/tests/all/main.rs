//! What the sandbox promises, shown with real components: the fixtures, each of which misbehaves in one way.

#[cfg(test)]
mod artifact;
#[cfg(test)]
mod capabilities;
#[cfg(test)]
mod child;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod effects;
#[cfg(test)]
mod keyvalue;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod nn;
#[cfg(test)]
mod shadows;
#[cfg(test)]
mod support;
