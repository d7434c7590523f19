//! Memory and seconds of learning as rows come batch by batch, one JSON line for ten batches.
//!
//! ```sh
//! cargo run --release -p tidemill-ml --example growth -- history 2000000 50000   # four models learn again from all rows
//! cargo run --release -p tidemill-ml --example growth -- online 10000000 50000   # three learn the new rows alone
//! ```
//!
//! Rows are drawn to look like those of `jobs/chicago-arrests.toml`, three of ten held out. `rss_mb` is what the process
//! has at the end of a batch, `peak_mb` the most that it had so far (Linux; else 0), `table_mb` and `kept_mb` what the
//! table and the bins say that they hold, `seconds` those of the last batch, `models` a hash of their files.

use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;
use tidemill_ml::preprocess::{ImputerParams, StandardScalerParams, TargetEncoderParams};
use tidemill_ml::{
    Cache, ClusterStreamParams, DecisionTreeParams, Estimator, FeatureTable, Fitted, KMeansParams,
    LogisticRegressionParams, MiniBatchKMeansParams, Pipeline, RandomForestParams, Rows, SgdClassifierParams,
    StreamLearner, Target, Transform,
};

const NUMBERS: [&str; 10] =
    ["domestic", "beat", "district", "community_area", "x", "y", "month", "day", "hour", "minute"];
const TEXTS: [(&str, u64); 4] = [("iucr", 320), ("place", 130), ("fbi_code", 26), ("block", 28_000)];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, rows, batch] = arguments.as_slice() else {
        return Err("usage: growth history|online ROWS BATCH".into());
    };
    let (rows, batch) = (rows.parse::<u64>()?, batch.parse::<u64>()?);
    match mode.as_str() {
        "history" => history(rows, batch),
        "online" => online(rows, batch),
        other => Err(format!("no mode {other:?}").into()),
    }
}

/// Rows that came so far, as a stream's models see them.
struct Crimes {
    table: FeatureTable,
    hotspots: FeatureTable,
    arrests: Vec<bool>,
    training: Vec<u32>,
    held_out: Vec<u32>,
}

impl Crimes {
    fn new() -> Crimes {
        let names = |of: &[&str]| of.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let texts = TEXTS.map(|text| text.0);
        Crimes {
            table: FeatureTable::new(names(&NUMBERS), names(&texts)),
            hotspots: FeatureTable::new(names(&["x", "y", "hour_sin", "hour_cos"]), vec![]),
            arrests: Vec::new(),
            training: Vec::new(),
            held_out: Vec::new(),
        }
    }

    /// Adds the rows of these numbers.
    fn add(&mut self, numbers: std::ops::Range<u64>) -> Result<(), tidemill_ml::Error> {
        let (mut columns, mut spots) = (vec![Vec::new(); 10], vec![Vec::new(); 4]);
        let mut texts: Vec<Vec<String>> = vec![Vec::new(); 4];
        for number in numbers {
            let mut draws = Draws(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x51_7c_c1_b7);
            let (district, hour) = (draws.below(25) + 1, draws.below(24));
            let x = 1_130_000.0 + (draws.below(70_000) + district * 500) as f64;
            let y = 1_820_000.0 + (draws.below(100_000) + district * 700) as f64;
            let (month, day, minute) = (draws.below(12) + 1, draws.below(31) + 1, draws.below(60));
            let values = [
                draws.below(6) / 5,
                district * 100 + draws.below(35),
                district,
                draws.below(77) + 1,
                x as u64,
                y as u64,
                month,
                day,
                hour,
                minute,
            ];
            let is_lost = draws.below(50) == 0;
            for (c, value) in values.into_iter().enumerate() {
                columns[c].push(if is_lost && (c == 4 || c == 5) { f64::NAN } else { value as f64 });
            }
            let angle = std::f64::consts::TAU * hour as f64 / 24.0;
            for (column, value) in spots.iter_mut().zip([x, y, angle.sin(), angle.cos()]) {
                column.push(value);
            }
            let mut kind = 0;
            for (column, (name, count)) in texts.iter_mut().zip(TEXTS) {
                // Few are frequent.
                let code = draws.below(count).min(draws.below(count));
                kind = if name == "iucr" { code } else { kind };
                column.push(format!("{name}{code}"));
            }
            self.arrests.push((kind * 7 + hour) % 100 < 18 + draws.below(10));
            let row = self.training.len() + self.held_out.len();
            if draws.below(10) < 3 { self.held_out.push(row as u32) } else { self.training.push(row as u32) }
        }
        for (c, values) in columns.into_iter().enumerate() {
            self.table.push_numeric(c, values);
        }
        for (c, values) in texts.iter().enumerate() {
            self.table.push_category(c, values.iter().map(|text| Some(text.as_str())));
        }
        for (c, values) in spots.into_iter().enumerate() {
            self.hotspots.push_numeric(c, values);
        }
        self.hotspots.finish_append()?;
        self.table.finish_append()
    }

    fn rows<'a>(&'a self, of: &'a [u32], clusters: bool) -> Rows<'a> {
        match clusters {
            true => Rows::new(&self.hotspots, Target::None, of),
            false => Rows::new(&self.table, Target::Binary(&self.arrests), of),
        }
    }
}

/// Numbers that look drawn (splitmix64).
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

struct Model {
    estimator: Estimator,
    cache: Cache,
    fitted: Option<Fitted>,
    clusters: bool,
}

impl Model {
    fn new(estimator: impl Into<Estimator>, clusters: bool) -> Model {
        Model { estimator: estimator.into(), cache: Cache::new(), fitted: None, clusters }
    }

    fn learn(&mut self, crimes: &Crimes) -> Result<(), tidemill_ml::Error> {
        let rows = crimes.rows(&crimes.training, self.clusters);
        let fitted = self.estimator.refit(&rows, 42, self.fitted.as_ref(), &mut self.cache)?;
        fitted.score_kept(&crimes.rows(&crimes.held_out, self.clusters), 42, &self.cache)?;
        self.fitted = Some(fitted);
        Ok(())
    }
}

fn history(rows: u64, batch: u64) -> Result<(), Box<dyn Error>> {
    let mut crimes = Crimes::new();
    let mut kept = Cache::new();
    let mut models = [
        Model::new(LogisticRegressionParams::default(), false),
        Model::new(RandomForestParams { trees: 20, max_depth: 5, ..RandomForestParams::default() }, false),
        Model::new(DecisionTreeParams { max_depth: 5, ..DecisionTreeParams::default() }, false),
        Model::new(KMeansParams { clusters: 8, ..KMeansParams::default() }, true),
    ];
    for number in 0..rows / batch {
        crimes.add(number * batch..(number + 1) * batch)?;
        let started = Instant::now();
        kept.extend(&crimes.table, &crimes.training)?;
        for model in models.iter_mut().filter(|model| !model.clusters) {
            model.cache.share_rows(&kept);
        }
        // As the driver does: the models of a job learn at the same time.
        let crimes = &crimes;
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                models.iter_mut().map(|model| scope.spawn(|| model.learn(crimes))).collect();
            threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
        })
        .into_iter()
        .try_for_each(|learned| {
            learned.map_err(|_| "a model's thread panicked")?.map_err(Box::<dyn Error>::from)
        })?;
        if (number + 1) % 10 == 0 {
            let held = crimes.table.bytes() + crimes.hotspots.bytes();
            report((number + 1) * batch, started.elapsed().as_secs_f64(), held, kept.bytes(), &models)?;
        }
    }
    Ok(())
}

fn online(rows: u64, batch: u64) -> Result<(), Box<dyn Error>> {
    let steps = [
        Transform::Impute(ImputerParams::default()).into(),
        Transform::Standard(StandardScalerParams::default()).into(),
        Transform::Target(TargetEncoderParams::default()).into(),
    ];
    let learner = StreamLearner::MinibatchKmeans(MiniBatchKMeansParams::default());
    let mut models = [
        Model::new(SgdClassifierParams::default(), false),
        Model::new(Pipeline::new(steps, SgdClassifierParams::default()), false),
        Model::new(ClusterStreamParams { learner, ..ClusterStreamParams::default() }, true),
    ];
    for number in 0..rows / batch {
        let mut crimes = Crimes::new();
        crimes.add(number * batch..(number + 1) * batch)?;
        let started = Instant::now();
        for model in &mut models {
            let rows = crimes.rows(&crimes.training, model.clusters);
            model.fitted = Some(model.estimator.partial_fit(&rows, 42 + number, model.fitted.as_ref())?);
        }
        if number == 0 || (number + 1) % 10 == 0 {
            report((number + 1) * batch, started.elapsed().as_secs_f64(), crimes.table.bytes(), 0, &models)?;
        }
    }
    Ok(())
}

fn report(rows: u64, seconds: f64, table: u64, kept: u64, models: &[Model]) -> Result<(), Box<dyn Error>> {
    let mut hasher = DefaultHasher::new();
    for model in models {
        model.fitted.as_ref().map(Fitted::to_bytes).transpose()?.hash(&mut hasher);
    }
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "{{\"rows\":{rows},\"rss_mb\":{},\"peak_mb\":{},\"table_mb\":{:.1},\"kept_mb\":{:.1},\"seconds\":{seconds:.3},\"models\":\"{:016x}\"}}",
        status_mb("VmRSS:"),
        status_mb("VmHWM:"),
        mb(table),
        mb(kept),
        hasher.finish(),
    );
    Ok(())
}

/// A line of /proc/self/status in megabytes; 0 where there is none.
fn status_mb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).map_or(0, |kb| kb / 1024)
}
