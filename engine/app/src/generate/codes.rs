//! Crime codes (IUCR): a hand-written table of the register's primary types, and the codes synthesised from it.
//!
//! Shares, arrest rates and domestic rates of the types are rounded, publicly known figures of Chicago's register;
//! the single codes below them, with their own rates and descriptions, come from a fixed seed of this module.
//! The seed of a generated file changes none of it: a code means the same in every file.

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::city::Area;
use super::draw::{log_odds, normal};
use super::places::Scene;

/// One crime code.
pub struct Code {
    /// Four characters, `0460` or `041A`.
    pub iucr: String,
    /// Primary type.
    pub primary: &'static str,
    /// Description of the code.
    pub description: String,
    /// FBI code, `08B`.
    pub fbi: &'static str,
    /// How often.
    pub weight: f64,
    /// Log-odds of an arrest before place, block and time have their say.
    pub arrest: f64,
    /// Probability that the crime is a domestic one.
    pub domestic: f64,
    /// Where in the city.
    pub area: Area,
    /// At what kind of places.
    pub scene: &'static Scene,
}

#[rustfmt::skip]
mod scenes {
    use super::Scene;
    //                                    Home  Street Vehicle Store Leisure Business Civic Transit Other
    pub(super) const AT_HOME: Scene    = [75.0, 14.0, 0.7, 1.0, 2.5, 1.2, 4.0, 0.8, 2.0];
    pub(super) const OUTDOORS: Scene   = [14.0, 68.0, 4.5, 2.0, 2.0, 1.5, 3.5, 3.5, 1.5];
    pub(super) const ANYWHERE: Scene   = [40.0, 36.0, 2.5, 5.0, 5.0, 3.0, 5.0, 2.0, 2.5];
    pub(super) const IN_SHOPS: Scene   = [0.4, 1.0, 0.1, 90.0, 3.0, 1.0, 0.5, 0.5, 2.0];
    pub(super) const PROPERTY: Scene   = [27.0, 40.0, 2.0, 7.0, 9.0, 4.0, 4.5, 4.0, 5.0];
    pub(super) const BREAK_IN: Scene   = [78.0, 2.0, 0.3, 7.0, 3.0, 6.0, 1.5, 0.1, 2.5];
    pub(super) const ON_PAPER: Scene   = [38.0, 10.0, 1.0, 9.0, 6.0, 18.0, 2.0, 0.8, 15.0];
    pub(super) const KERB: Scene       = [3.0, 88.0, 2.0, 1.0, 0.7, 0.5, 0.8, 0.6, 0.5];
    pub(super) const IN_BARS: Scene    = [12.0, 30.0, 0.5, 12.0, 36.0, 1.0, 2.0, 3.0, 1.0];
    pub(super) const IN_PUBLIC: Scene  = [14.0, 38.0, 1.0, 6.0, 6.0, 10.0, 18.0, 7.0, 1.0];
}
use scenes::*;

/// A part of a primary type whose codes share FBI code, places and a typical arrest rate.
struct Group {
    primary: &'static str,
    fbi: &'static str,
    /// Per thousand of all crimes.
    share: f64,
    /// Codes start here and go on in tens.
    first: u16,
    codes: u16,
    /// Typical arrest rate, and the spread of its codes around it in log-odds.
    rate: f64,
    spread: f64,
    domestic: f64,
    area: Area,
    scene: &'static Scene,
    stems: &'static [&'static str],
}

/// A row of the table below, in the order of [`Group`]'s fields, without their names so that it can be read as a table.
#[allow(clippy::too_many_arguments)] // a table
const fn group(
    primary: &'static str,
    fbi: &'static str,
    share: f64,
    first: u16,
    codes: u16,
    rate: f64,
    spread: f64,
    domestic: f64,
    area: Area,
    scene: &'static Scene,
    stems: &'static [&'static str],
) -> Group {
    Group { primary, fbi, share, first, codes, rate, spread, domestic, area, scene, stems }
}

use Area::{Anywhere, Downtown, Hotspots};

#[rustfmt::skip]
const GROUPS: [Group; 45] = [
    //    primary type                    FBI  share first codes rate spread domestic area scene descriptions
    group("THEFT",                        "06", 190.0,  810, 10, 0.06, 0.6, 0.04, Downtown, &PROPERTY, &["OVER $500", "$500 AND UNDER", "FROM BUILDING", "POCKET-PICKING", "PURSE-SNATCHING", "FROM MACHINE"]),
    group("THEFT",                        "06",  36.0,  860,  4, 0.45, 0.3, 0.00, Downtown, &IN_SHOPS, &["RETAIL THEFT", "ATTEMPT: RETAIL THEFT"]),
    group("BATTERY",                      "08B", 155.0, 480, 12, 0.20, 0.4, 0.56, Anywhere, &ANYWHERE, &["SIMPLE", "DOMESTIC BATTERY SIMPLE", "RECKLESS CONDUCT"]),
    group("BATTERY",                      "04B", 27.0,  410, 16, 0.22, 0.8, 0.25, Hotspots, &OUTDOORS, &["AGGRAVATED: HANDGUN", "AGGRAVATED: KNIFE OR CUTTING INSTRUMENT", "AGGRAVATED: OTHER DANGEROUS WEAPON", "PROTECTED EMPLOYEE: HANDS, NO INJURY"]),
    group("CRIMINAL DAMAGE",              "14", 107.0, 1310, 12, 0.06, 0.5, 0.11, Anywhere, &PROPERTY, &["TO PROPERTY", "TO VEHICLE", "CRIMINAL DEFACEMENT", "INSTITUTIONAL VANDALISM"]),
    group("NARCOTICS",                    "18", 84.0,  1800, 45, 0.99, 0.5, 0.00, Hotspots, &KERB, &["POSS: CANNABIS 30GMS OR LESS", "POSS: HEROIN(WHITE)", "POSS: CRACK", "MANU/DELIVER: CANNABIS 10GM OR LESS", "MANU/DELIVER: HEROIN (WHITE)", "POSSESSION OF DRUG EQUIPMENT", "POSS: COCAINE"]),
    group("ASSAULT",                      "08A", 47.0,  560,  6, 0.19, 0.4, 0.30, Anywhere, &ANYWHERE, &["SIMPLE", "AGGRAVATED ASSAULT, STALKING"]),
    group("ASSAULT",                      "04A", 16.0,  510, 14, 0.28, 0.6, 0.14, Hotspots, &OUTDOORS, &["AGGRAVATED: HANDGUN", "AGGRAVATED: KNIFE/CUTTING INSTR", "AGGRAVATED: OTHER DANG WEAPON", "PRO EMP: HANDGUN"]),
    group("OTHER OFFENSE",                "26", 46.0,  3700, 30, 0.10, 1.2, 0.35, Anywhere, &ANYWHERE, &["TELEPHONE THREAT", "HARASSMENT BY TELEPHONE", "VEHICLE TITLE/REG OFFENSE", "FALSE/STOLEN/ALTERED TRP", "HARASSMENT BY ELECTRONIC MEANS", "OTHER VEHICLE OFFENSE"]),
    group("OTHER OFFENSE",                "26", 14.0,  4300,  8, 0.75, 0.8, 0.25, Hotspots, &ANYWHERE, &["VIOLATE ORDER OF PROTECTION", "PAROLE VIOLATION", "SEX OFFENDER: FAIL TO REGISTER"]),
    group("BURGLARY",                     "05", 55.0,   610,  8, 0.05, 0.4, 0.01, Anywhere, &BREAK_IN, &["FORCIBLE ENTRY", "UNLAWFUL ENTRY", "ATTEMPT FORCIBLE ENTRY", "HOME INVASION"]),
    group("DECEPTIVE PRACTICE",           "11", 46.0,  1110, 18, 0.04, 0.7, 0.01, Downtown, &ON_PAPER, &["FINANCIAL IDENTITY THEFT OVER $ 300", "CREDIT CARD FRAUD", "FRAUD OR CONFIDENCE GAME", "BOGUS CHECK", "ILLEGAL USE CASH CARD", "EMBEZZLEMENT"]),
    group("DECEPTIVE PRACTICE",           "10",  6.0,  1010,  6, 0.40, 0.8, 0.01, Downtown, &ON_PAPER, &["COUNTERFEITING DOCUMENT", "FORGERY", "COUNTERFEIT CHECK"]),
    group("DECEPTIVE PRACTICE",           "11",  5.0,  1200,  6, 0.75, 0.8, 0.00, Downtown, &IN_PUBLIC, &["THEFT OF LABOR/SERVICES", "DECEPTIVE COLLECTION PRACTICES", "UNLAWFUL USE OF RECORDED SOUND"]),
    group("MOTOR VEHICLE THEFT",          "07", 42.0,   910, 12, 0.07, 0.6, 0.01, Anywhere, &KERB, &["AUTOMOBILE", "TRUCK, BUS, MOTOR HOME", "CYCLE, SCOOTER, BIKE W-VIN", "ATT: AUTOMOBILE"]),
    group("ROBBERY",                      "03", 39.0,   310, 18, 0.09, 0.4, 0.02, Hotspots, &OUTDOORS, &["ARMED: HANDGUN", "STRONGARM - NO WEAPON", "ARMED: KNIFE/CUTTING INSTRUMENT", "AGGRAVATED", "ARMED: OTHER DANGEROUS WEAPON", "AGGRAVATED VEHICULAR HIJACKING"]),
    group("CRIMINAL TRESPASS",            "26", 25.0,  1350,  7, 0.60, 0.6, 0.06, Anywhere, &IN_PUBLIC, &["TO LAND", "TO RESIDENCE", "TO VEHICLE", "TO STATE SUP LAND"]),
    group("WEAPONS VIOLATION",            "15", 13.0,  1400, 18, 0.78, 0.7, 0.00, Hotspots, &OUTDOORS, &["UNLAWFUL POSS OF HANDGUN", "UNLAWFUL USE HANDGUN", "RECKLESS FIREARM DISCHARGE", "UNLAWFUL POSS AMMUNITION"]),
    group("OFFENSE INVOLVING CHILDREN",   "20",  5.0,  1750,  8, 0.20, 0.6, 0.60, Anywhere, &AT_HOME, &["CHILD ABANDONMENT", "ENDANGERING LIFE/HEALTH CHILD", "OTHER OFFENSE"]),
    group("OFFENSE INVOLVING CHILDREN",   "17",  4.0,  1530,  8, 0.12, 0.5, 0.50, Anywhere, &AT_HOME, &["SEX ASSLT OF CHILD BY FAM MBR", "AGG CRIM SEX ABUSE FAM MEMBER", "CRIM SEX ABUSE BY FAM MEMBER"]),
    group("OFFENSE INVOLVING CHILDREN",   "08B", 2.0,  1790,  3, 0.15, 0.3, 0.50, Anywhere, &AT_HOME, &["CHILD ABUSE"]),
    group("PUBLIC PEACE VIOLATION",       "24",  9.0,  2860, 12, 0.75, 0.9, 0.02, Hotspots, &OUTDOORS, &["OTHER VIOLATION", "RECKLESS CONDUCT", "FALSE POLICE REPORT", "BOMB THREAT", "MOB ACTION", "PUBLIC DEMONSTRATION"]),
    group("PROSTITUTION",                 "16",  5.0,  1505, 10, 0.99, 0.4, 0.00, Hotspots, &KERB, &["SOLICIT ON PUBLIC WAY", "SOLICIT FOR PROSTITUTE", "CALL OPERATION", "PATRONIZING A PROSTITUTE"]),
    group("CRIM SEXUAL ASSAULT",          "02",  5.0,   260, 16, 0.10, 0.5, 0.17, Anywhere, &AT_HOME, &["PREDATORY", "AGGRAVATED: HANDGUN", "NON-AGGRAVATED", "AGGRAVATED: OTHER", "ATTEMPT NON-AGGRAVATED"]),
    group("INTERFERENCE WITH PUBLIC OFFICER", "24", 5.0, 3800, 12, 0.95, 0.6, 0.00, Hotspots, &OUTDOORS, &["RESIST/OBSTRUCT/DISARM OFFICER", "OBSTRUCTING JUSTICE", "OBSTRUCTING IDENTIFICATION"]),
    group("SEX OFFENSE",                  "17",  3.5,  1560, 14, 0.15, 0.8, 0.10, Anywhere, &IN_PUBLIC, &["CRIMINAL SEXUAL ABUSE", "PUBLIC INDECENCY", "AGG CRIMINAL SEXUAL ABUSE", "SEXUAL EXPLOITATION OF A CHILD", "ATT CRIM SEXUAL ABUSE"]),
    group("HOMICIDE",                     "01A", 1.9,   110,  2, 0.45, 0.2, 0.08, Hotspots, &OUTDOORS, &["FIRST DEGREE MURDER", "SECOND DEGREE MURDER"]),
    group("HOMICIDE",                     "01B", 0.1,   140,  2, 0.60, 0.2, 0.05, Anywhere, &ANYWHERE, &["INVOLUNTARY MANSLAUGHTER", "RECKLESS HOMICIDE"]),
    group("ARSON",                        "09",  1.5,  1030,  5, 0.10, 0.4, 0.05, Hotspots, &PROPERTY, &["BY FIRE", "BY EXPLOSIVE", "AGGRAVATED", "ATTEMPT ARSON"]),
    group("GAMBLING",                     "19",  1.8,  1610, 10, 0.99, 0.3, 0.00, Hotspots, &KERB, &["GAME/DICE", "GAME/CARDS", "GAME/AMUSEMENT DEVICE", "OTHER"]),
    group("LIQUOR LAW VIOLATION",         "22",  1.4,  2210, 10, 0.97, 0.4, 0.00, Anywhere, &IN_BARS, &["LIQUOR LICENSE VIOLATION", "ILLEGAL CONSUMPTION BY MINOR", "SELL/GIVE/DEL LIQUOR TO MINOR", "ILLEGAL POSSESSION BY MINOR"]),
    group("KIDNAPPING",                   "20",  0.5,  1780,  2, 0.08, 0.4, 0.60, Anywhere, &AT_HOME, &["CHILD ABDUCTION/STRANGER", "UNLAWFUL INTERFERE/VISITATION"]),
    group("KIDNAPPING",                   "26",  0.5,  4210,  4, 0.12, 0.5, 0.20, Anywhere, &OUTDOORS, &["UNLAWFUL RESTRAINT", "AGGRAVATED", "KIDNAPPING"]),
    group("STALKING",                     "08A", 0.6,   580,  4, 0.15, 0.4, 0.40, Anywhere, &AT_HOME, &["SIMPLE", "AGGRAVATED", "CYBERSTALKING"]),
    group("INTIMIDATION",                 "26",  0.6,  3960,  5, 0.12, 0.6, 0.12, Anywhere, &ANYWHERE, &["INTIMIDATION", "EXTORTION", "COMPELLING ORG MEMBERSHIP"]),
    group("CONCEALED CARRY LICENSE VIOLATION", "15", 0.4, 1460, 4, 0.97, 0.3, 0.00, Hotspots, &OUTDOORS, &["UNLICENSED: HANDGUN", "PROHIBITED PLACES", "ARMED WHILE UNDER THE INFLUENCE"]),
    group("OBSCENITY",                    "17",  0.3,  1577,  4, 0.75, 0.5, 0.05, Anywhere, &ANYWHERE, &["SALE/DIST OBSCENE MAT TO MINOR", "OBSCENE MATTER"]),
    group("NON-CRIMINAL",                 "26",  0.3,  5090,  5, 0.10, 1.0, 0.05, Anywhere, &ON_PAPER, &["LOST PASSPORT", "FOID - REVOCATION", "CONCEALED CARRY LICENSE REVOCATION"]),
    group("HUMAN TRAFFICKING",            "26",  0.1,  1050,  3, 0.15, 0.5, 0.10, Anywhere, &AT_HOME, &["COMMERCIAL SEX ACTS", "INVOLUNTARY SERVITUDE"]),
    group("PUBLIC INDECENCY",             "17",  0.1,  1940,  2, 0.98, 0.2, 0.00, Downtown, &IN_PUBLIC, &["LICENSED PREMISE"]),
    group("OTHER NARCOTIC VIOLATION",     "18",  0.1,  1710,  3, 0.80, 0.5, 0.00, Hotspots, &OUTDOORS, &["INTOXICATING COMPOUNDS"]),
    group("CRIMINAL ABORTION",            "20",  0.02, 1703,  1, 0.10, 0.1, 0.00, Anywhere, &IN_PUBLIC, &["CRIMINAL ABORTION"]),
    group("RITUALISM",                    "23",  0.03,  495,  2, 0.10, 0.3, 0.10, Anywhere, &AT_HOME, &["AGG RITUAL MUT: HANDS/FIST/FEET NO/MINOR INJURY"]),
    group("DOMESTIC VIOLENCE",            "08B", 0.02, 3000,  1, 0.50, 0.1, 1.00, Anywhere, &AT_HOME, &["DOMESTIC VIOLENCE"]),
    group("NON - CRIMINAL",               "26",  0.05, 5000,  2, 0.10, 0.5, 0.05, Anywhere, &ON_PAPER, &["FOID - REVOCATION"]),
];

/// Adds a word to a description that all of a group's own are used up for.
const VARIANTS: [&str; 10] = [
    "",
    ": ATTEMPT",
    ": OTHER",
    ": AGGRAVATED",
    ": SERIOUS INJURY",
    ": MINOR VICTIM",
    ": PUBLIC WAY",
    ": SECOND OFFENSE",
    ": CONSPIRACY",
    ", UNSPECIFIED",
];

/// How often the codes of a group occur falls off with this power of their rank.
const ZIPF: f64 = 1.3;

/// All codes, always the same ones.
pub fn all() -> Vec<Code> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0x1cce_c0de);
    let mut codes = Vec::new();
    for g in &GROUPS {
        let total: f64 = (1..=g.codes).map(|rank| f64::from(rank).powf(-ZIPF)).sum();
        for k in 0..g.codes {
            // Two plain numbers and two with a letter in each ten: 0810, 0815, 081A, 081B, 0820, ...
            let ten = g.first / 10 + k / 4;
            let last = if g.first % 10 == 0 { ['0', '5', 'A', 'B'] } else { ['1', '6', 'C', 'D'] }
                [usize::from(k % 4)];
            let (stem, variant) = (usize::from(k) % g.stems.len(), usize::from(k) / g.stems.len());
            // The commonest code carries the group's rate; rarer ones stray from it.
            let stray = if k == 0 { 0.0 } else { normal(&mut rng) * g.spread };
            codes.push(Code {
                iucr: format!("{ten:03}{last}"),
                primary: g.primary,
                description: format!("{}{}", g.stems[stem], VARIANTS[variant % VARIANTS.len()]),
                fbi: g.fbi,
                weight: g.share * f64::from(k + 1).powf(-ZIPF) / total,
                arrest: log_odds(g.rate) + stray,
                domestic: g.domestic,
                area: g.area,
                scene: g.scene,
            });
        }
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn about_400_codes_each_once() {
        let codes = all();
        let mut seen = HashSet::new();
        for code in &codes {
            assert_eq!(code.iucr.len(), 4);
            assert!(seen.insert(code.iucr.clone()), "{} twice ({})", code.iucr, code.primary);
        }
        assert!((380..=420).contains(&codes.len()), "{}", codes.len());
        assert!((33..=36).contains(&codes.iter().map(|c| c.primary).collect::<HashSet<_>>().len()));
    }

    #[test]
    fn shares_sum_to_about_a_thousand() {
        let sum: f64 = GROUPS.iter().map(|g| g.share).sum();
        assert!((980.0..1020.0).contains(&sum), "{sum}");
    }
}
