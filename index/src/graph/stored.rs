//! A graph as bytes.
//!
//! Codes and edges are arrays of their own ([`Codes::as_bytes`], [`Graph::edges`]); the rest is the header:
//!
//! ```text
//! version u8 | rows u64 | degree u32 | entry u32 | alpha f32
//! coding: bytes u32, then these
//! calibrations: count u8 (1 or 2), then of each:
//!     queries u32
//!     3 curves: points u32, then of each: recall, error f32 | ef u32 | gamma f32 | rerank u32 | compared f32
//!     usual distances: count u32, then these, f32
//!     since version 2: the recall of scans: count u32 (0 or 3), then these, f32
//! since version 2: the best recall when it was last built anew, f32, negative if it was not measured
//! ```
//!
//! Little-endian.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};

use rayon::prelude::*;
use thiserror::Error;

use super::calibration::{Calibration, Point};
use super::costs::CostsCell;
use super::trace::KS;
use super::walk::{DEGREE_MAX, NO_EDGE};
use super::{Edges, Graph, Learned};
use crate::quantizer::RowSource;
use crate::{Codes, CodesError, Coding, CodingError};

/// The version that is written; version 1 is read, too.
const VERSION: u8 = 2;
/// More points than a curve can have.
const POINTS_MAX: usize = 4096;

/// The parts of a graph that someone else keeps, in a memory-mapped file say.
pub struct StoredGraph<'a> {
    /// What [`Graph::header`] wrote.
    pub header: &'a [u8],
    /// [`Codes::as_bytes`], best from a multiple of 64 bytes on.
    pub codes: Arc<dyn AsRef<[u8]> + Send + Sync>,
    /// [`Graph::edges`], likewise.
    pub edges: Arc<dyn AsRef<[u32]> + Send + Sync>,
    /// The rows.
    pub rows: Arc<dyn RowSource>,
}

/// Why parts are no graph.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GraphError {
    /// The header ends too early, is too long, or is of another version.
    #[error("the graph's header is damaged or of another version, at byte {0}")]
    Header(usize),
    /// A number of the header that cannot be one.
    #[error("the graph's header says {0}: it is damaged")]
    Number(&'static str),
    /// The coding is none.
    #[error("the graph's coding: {0}")]
    Coding(#[from] CodingError),
    /// The codes are not those of the rows.
    #[error("the graph's codes: {0}")]
    Codes(#[from] CodesError),
    /// There are other rows than the header says.
    #[error("{got} rows, the graph has {wanted}")]
    Rows {
        /// Rows that the header names.
        wanted: usize,
        /// Rows there are.
        got: usize,
    },
    /// There are more or fewer edges than the header says.
    #[error("{got} edges, the graph has {wanted}")]
    Edges {
        /// Rows times degree.
        wanted: usize,
        /// Edges there are.
        got: usize,
    },
    /// An edge that leads to no row.
    #[error("edge {0} of the graph leads to no row")]
    Edge(usize),
}

impl Graph {
    /// Everything but codes and edges as bytes, what was learned from queries included.
    pub fn header(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend((self.len() as u64).to_le_bytes());
        out.extend((self.degree as u32).to_le_bytes());
        out.extend(self.entry.to_le_bytes());
        out.extend(self.alpha.to_le_bytes());
        let mut coding = Vec::new();
        self.codes.coding().write(&mut coding);
        out.extend((coding.len() as u32).to_le_bytes());
        out.extend(coding);
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner);
        out.push(1 + u8::from(learned.observed.is_some()));
        write_calibration(&learned.built, &mut out);
        if let Some(observed) = &learned.observed {
            write_calibration(observed, &mut out);
        }
        out.extend(self.best_anew.unwrap_or(-1.0).to_le_bytes());
        out
    }

    /// A graph whose parts are kept elsewhere. Reads the edges once to check them: time O(n * degree), a few milliseconds
    /// for 100,000 rows that are in memory; nothing is built.
    ///
    /// # Errors
    ///
    /// [`GraphError`] if the parts are none of a graph over these rows. Damaged codes cannot be told: they make bad answers.
    pub fn stored(parts: StoredGraph<'_>) -> Result<Self, GraphError> {
        let mut header = Reader {
            bytes: parts.header,
            at: 0,
        };
        let [version] = header.take()?;
        if !(1..=VERSION).contains(&version) {
            return Err(GraphError::Header(0));
        }
        let len = u64::from_le_bytes(header.take()?);
        let degree = header.number()? as usize;
        let entry = header.number()?;
        let alpha = header.float("an alpha that is no number")?;
        let coding_bytes = header.number()? as usize;
        let coding = Coding::read(header.slice(coding_bytes)?, parts.rows.dim())?;
        let [calibrations] = header.take()?;
        let built = read_calibration(version, &mut header)?;
        let observed = match calibrations {
            1 => None,
            2 => Some(read_calibration(version, &mut header)?),
            _ => return Err(GraphError::Number("a wrong number of calibrations")),
        };
        let best_anew = match version {
            1 => None,
            _ => Some(header.float("a best recall that is no number")?),
        };
        if header.at != header.bytes.len() {
            return Err(GraphError::Header(header.at));
        }
        let len = usize::try_from(len).map_err(|_| GraphError::Number("too many rows"))?;
        if !(1..=DEGREE_MAX).contains(&degree) {
            return Err(GraphError::Number("an impossible degree"));
        }
        if len > 0 && entry as usize >= len {
            return Err(GraphError::Number("an entry that is no row"));
        }
        if parts.rows.len() != len {
            return Err(GraphError::Rows {
                wanted: len,
                got: parts.rows.len(),
            });
        }
        let codes = Codes::stored(Arc::new(coding), len, parts.codes)?;
        check_edges((*parts.edges).as_ref(), len, degree)?;
        Ok(Self {
            codes,
            rows: parts.rows,
            edges: Edges::Shared(parts.edges),
            degree,
            entry,
            alpha,
            best_anew: best_anew.filter(|recall| *recall >= 0.0),
            learned: RwLock::new(Learned {
                built,
                observed,
                ..Learned::default()
            }),
            costs: CostsCell::default(),
            is_damaged: AtomicBool::new(false),
            scratches: Default::default(),
        })
    }
}

fn check_edges(edges: &[u32], len: usize, degree: usize) -> Result<(), GraphError> {
    // As many rows as there are bytes in memory times a degree of at most 128: no overflow once the codes are checked.
    let wanted = len * degree;
    if edges.len() != wanted {
        return Err(GraphError::Edges {
            wanted,
            got: edges.len(),
        });
    }
    let bad = edges
        .par_iter()
        .with_min_len(1 << 16)
        .position_first(|&edge| edge as usize >= len && edge != NO_EDGE);
    bad.map_or(Ok(()), |at| Err(GraphError::Edge(at)))
}

fn write_calibration(calibration: &Calibration, out: &mut Vec<u8>) {
    out.extend(calibration.queries.to_le_bytes());
    for curve in &calibration.curves {
        out.extend((curve.len() as u32).to_le_bytes());
        for point in curve {
            out.extend(point.recall.to_le_bytes());
            out.extend(point.error.to_le_bytes());
            out.extend(point.ef.to_le_bytes());
            out.extend(point.gamma.to_le_bytes());
            out.extend(point.rerank.to_le_bytes());
            out.extend(point.compared.to_le_bytes());
        }
    }
    out.extend((calibration.usual.len() as u32).to_le_bytes());
    for usual in &calibration.usual {
        out.extend(usual.to_le_bytes());
    }
    let scans = calibration.scans.as_ref().map_or(&[][..], |scans| scans);
    out.extend((scans.len() as u32).to_le_bytes());
    for scan in scans {
        out.extend(scan.to_le_bytes());
    }
}

fn read_calibration(version: u8, header: &mut Reader<'_>) -> Result<Calibration, GraphError> {
    let mut calibration = Calibration {
        queries: header.number()?,
        ..Calibration::default()
    };
    for curve in &mut calibration.curves {
        let count = header.number()? as usize;
        if count > POINTS_MAX {
            return Err(GraphError::Number("too many points of a curve"));
        }
        for _ in 0..count {
            let wrong = "a point of a curve that is none";
            let point = Point {
                recall: header.float(wrong)?,
                error: header.float(wrong)?,
                ef: header.number()?,
                gamma: f32::from_le_bytes(header.take()?),
                rerank: header.number()?,
                compared: header.float(wrong)?,
            };
            // Infinity is a gamma, NaN is none.
            let fits = (0.0..=1.0).contains(&point.recall)
                && point.error >= 0.0
                && point.ef >= 1
                && point.gamma >= 0.0
                && point.rerank >= 1
                && point.compared >= 0.0;
            if !fits {
                return Err(GraphError::Number(wrong));
            }
            curve.push(point);
        }
    }
    let count = header.number()? as usize;
    if count > POINTS_MAX {
        return Err(GraphError::Number("too many usual distances"));
    }
    for _ in 0..count {
        let usual = header.float("a usual distance that is none")?;
        calibration.usual.push(usual);
    }
    let scans = match version {
        1 => 0,
        _ => header.number()? as usize,
    };
    if scans > 0 {
        let wrong = "a recall of scans that is none";
        let mut recalls = [0.0; KS.len()];
        if scans != recalls.len() {
            return Err(GraphError::Number(wrong));
        }
        for recall in &mut recalls {
            *recall = header.float(wrong)?;
            if !(0.0..=1.0).contains(recall) {
                return Err(GraphError::Number(wrong));
            }
        }
        calibration.scans = Some(recalls);
    }
    Ok(calibration)
}

/// Reads numbers one after another.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn slice(&mut self, len: usize) -> Result<&'a [u8], GraphError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let slice = rest.get(..len).ok_or(GraphError::Header(self.at))?;
        self.at += len;
        Ok(slice)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], GraphError> {
        let at = self.at;
        let slice = self.slice(N)?;
        slice.try_into().map_err(|_| GraphError::Header(at))
    }

    fn number(&mut self) -> Result<u32, GraphError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn float(&mut self, wrong: &'static str) -> Result<f32, GraphError> {
        let value = f32::from_le_bytes(self.take()?);
        if value.is_finite() {
            Ok(value)
        } else {
            Err(GraphError::Number(wrong))
        }
    }
}
